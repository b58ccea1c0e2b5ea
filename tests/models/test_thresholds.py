"""Thresholds travel with a model and change nothing else about it."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.bundle import Bundle, Header
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, read_bundle, write_bundle
from bioacoustics.models.thresholds import ClassThreshold, Thresholds

OWL = ClassThreshold(
    threshold=0.31, precision=0.92, precision_low=0.85, precision_high=0.97, recall=0.6, num_present=40
)


def thresholds(**classes: ClassThreshold) -> Thresholds:
    return Thresholds(precision_wanted=0.9, window_s=5.0, num_recordings=12, classes=classes)


def bundle() -> Bundle:
    torch.manual_seed(0)
    config = EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=4)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(config))
    head = ClassificationHead(HeadConfig(num_classes=2), 32)
    return bundle_of_classifier(AudioClassifier(encoder, head, ("frog", "owl"), multi_label=True))


def test_labels_without_a_threshold_have_the_default() -> None:
    assert thresholds(owl=OWL).of(["frog", "owl"]) == [0.5, 0.31]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_they_are_saved_and_the_fingerprint_stays(tmp_path: Path, suffix: str) -> None:
    plain = bundle()
    header = plain.header.model_copy(update={"thresholds": thresholds(owl=OWL)})
    path = tmp_path / f"model{suffix}"
    write_bundle(Bundle(header, plain.weights), path)
    read = read_bundle(path)
    assert read.header == header
    assert read.header.fingerprint == plain.header.fingerprint
    assert all(torch.equal(read.weights[name], weight) for name, weight in plain.weights.items())


def test_thresholds_of_strangers_and_impossible_ones_are_refused() -> None:
    values = bundle().header.model_dump()
    with pytest.raises(ValidationError, match="thresholds for newt, which are no labels"):
        Header.model_validate({**values, "thresholds": thresholds(newt=OWL).model_dump()})
    with pytest.raises(ValidationError, match="goes from"):
        ClassThreshold.model_validate({**OWL.model_dump(), "precision_low": 0.99})
    with pytest.raises(ValidationError):
        thresholds()
