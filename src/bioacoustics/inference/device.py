"""The device that a model runs on when the user leaves the choice to us."""

import os
from typing import Literal

import torch

DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(choice: DeviceChoice = "auto") -> torch.device:
    """The device asked for, or the fastest one there is: CUDA, then Apple's MPS, then the processor.

    Raises:
        ValueError: If a device is asked for that this machine does not have.
    """
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if choice == "auto":
        choice = "cuda" if has_cuda else "mps" if has_mps else "cpu"
    if (choice == "cuda" and not has_cuda) or (choice == "mps" and not has_mps):
        raise ValueError(
            f"device {choice!r} was asked for, but PyTorch {torch.__version__} finds none here; "
            "`bioacoustics doctor` shows what there is, and --device auto takes the best of it"
        )
    if choice == "cuda" and "LOCAL_RANK" in os.environ:  # one of several processes, each with a GPU
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return torch.device(choice)
