import pytest
import torch

from bioacoustics.training.acceleration import accelerator_of


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
