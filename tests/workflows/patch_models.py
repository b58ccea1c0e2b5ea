"""Classifiers of a few thousand weights that hear patches, and tell sounds apart without any training."""

from pathlib import Path

import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, write_bundle

SMALL = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
LABELS = ("coquí", "owl", "rain")


def model_with(folder: Path, mode: str) -> Path:
    torch.manual_seed(1)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SMALL))
    head = ClassificationHead(HeadConfig(num_classes=3, prediction_mode=mode), 32)  # type: ignore[arg-type]
    seconds = torch.arange(10240) / 16000
    loud = 0.3 * torch.sin(2 * torch.pi * torch.tensor([[1800.0], [3600.0], [0.0]]) * seconds)
    with torch.no_grad():  # without this, random features of all sounds are alike
        some = encoder(torch.cat([loud, 0 * loud]) + 0.02 * torch.randn(6, 10240))
        head.standardise(head.pool(some))
    torch.nn.init.normal_(head.head.weight, std=0.4)
    path = folder / f"{mode}.pt"
    classifier = AudioClassifier(encoder, head, LABELS, multi_label=True, target_length=64)
    write_bundle(bundle_of_classifier(classifier), path)
    return path
