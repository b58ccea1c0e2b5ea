"""Acceleration: the processes, the device and the precision of a run."""

import os
import shutil
from typing import Literal, cast

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, GradScalerKwargs, parse_flag_from_env

from bioacoustics.objectives.processes import leave_at_exit

Device = Literal["auto", "cpu"]
Precision = Literal["auto", "no", "bf16", "fp16"]


def accelerator_of(device: Device, precision: Precision) -> Accelerator:
    """The processes, the device and the precision of a run, from the environment that launched it.

    Raises:
        ValueError: The precision does not exist on the device.
    """
    num_launched = int(os.environ.get("WORLD_SIZE", "1"))
    # Without being told, accelerate forms no group of processes on the processor: each would train alone.
    has_no_gpu = num_launched > 1 and not torch.cuda.is_available()
    state = PartialState(cpu=device == "cpu" or parse_flag_from_env("ACCELERATE_USE_CPU") or has_no_gpu)
    assert state.num_processes == num_launched, "every process would train on its own"
    if num_launched > 1:
        leave_at_exit()
    device_type = state.device.type
    if precision == "auto":
        chosen = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        precision = (
            cast("Precision", chosen) if chosen in {"bf16", "fp16"} else _fastest_precision(device_type)
        )
    if precision == "fp16" and device_type == "cpu":
        raise ValueError("fp16 needs a GPU: use --precision bf16 or no on the processor")
    if device_type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: what stays float32 needs no more
    AcceleratorState._reset_state()  # an earlier training of this process may have had another precision
    handlers = [
        DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        GradScalerKwargs(init_scale=128.0),  # EAT's; it grows by itself
    ]
    return Accelerator(mixed_precision=precision, kwargs_handlers=handlers)


def why_not_compiled(device_type: str) -> str | None:
    """What keeps torch.compile from working on this machine, or None; asked before a run, not amid it."""
    if device_type != "cpu":
        return None
    if shutil.which(os.environ.get("CXX", "cl" if os.name == "nt" else "c++")) is None:
        return (
            "torch.compile needs a C++ compiler, and there is none here: install one, or leave out --compile"
        )
    if any(character.isspace() for character in torch.__file__):
        return (
            "torch.compile cannot link where PyTorch itself lies in a folder with a space "
            f"({torch.__file__}): use an environment in another folder, or leave out --compile"
        )
    return None


def _fastest_precision(device_type: str) -> Precision:
    if device_type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
