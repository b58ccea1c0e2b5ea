import sys

import pytest
import torch

from bioacoustics.training.acceleration import accelerator_of, why_not_compiled


def test_processor_takes_float32_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    accelerator = accelerator_of("cpu", "auto")
    assert (accelerator.mixed_precision, accelerator.device) == ("no", torch.device("cpu"))
    assert accelerator_of("cpu", "bf16").mixed_precision == "bf16"
    assert accelerator_of("cpu", "no").mixed_precision == "no"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # what `accelerate launch` was configured with
    assert accelerator_of("cpu", "auto").mixed_precision == "bf16"


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        accelerator_of("cpu", "fp16")


def test_processes_that_would_train_alone_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as if torchrun had started two, but this one knows no partner
    with pytest.raises(AssertionError, match="train on its own"):
        accelerator_of("cpu", "no")


def test_what_keeps_the_compiler_from_working_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not_compiled("cuda") is None
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "needs a C++ compiler" in str(why_not_compiled("cpu"))
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(torch, "__file__", "/home/ñandú/mis grabaciones/torch/__init__.py")
    assert "folder with a space" in str(why_not_compiled("cpu"))
