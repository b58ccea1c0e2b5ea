"""The names that users import, and that they cost nothing until used."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bioacoustics


def test_public_names_are_these_and_all_exist() -> None:
    assert set(bioacoustics.__all__) == {
        "AudioClassifier",
        "AudioEncoder",
        "Features",
        "__version__",
        "load_classifier",
        "load_encoder",
        "load_tokenizer",
    }
    assert all(getattr(bioacoustics, name) is not None for name in bioacoustics.__all__)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'bioacoustics' has no attribute 'load_model'"):
        _ = bioacoustics.load_model
    with pytest.raises(ImportError, match="cannot import name 'load_model'"):
        from bioacoustics import load_model  # noqa: F401


def test_importing_the_package_does_not_import_torch() -> None:
    check = "import sys, bioacoustics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("name", ["pretrain_p1.pt", "finetune.pt", "hf_finetune"])
@torch.no_grad()
def test_any_published_checkpoint_embeds(golden_eat: Path, name: str) -> None:
    encoder = bioacoustics.load_encoder(golden_eat / name)
    assert isinstance(encoder, bioacoustics.AudioEncoder)
    assert encoder.embed(torch.randn(2, 16000)).shape == (2, encoder.embedding_dim)


@pytest.mark.parametrize("name", ["finetune.pt", "hf_finetune"])
@torch.no_grad()
def test_any_published_classifier_classifies(golden_eat: Path, name: str) -> None:
    classifier = bioacoustics.load_classifier(golden_eat / name)
    probabilities = classifier(torch.randn(2, 16000))
    assert isinstance(classifier, bioacoustics.AudioClassifier)
    assert probabilities.shape == (2, len(classifier.labels)) and probabilities.min() >= 0
