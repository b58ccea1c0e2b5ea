"""The official tiny models of the golden data, in our classes."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.masks import MaskConfig

sys.path.insert(0, str(Path(__file__).parent))  # for `import small_beats`: pytest leaves the path alone

PARTS = (
    ("modality_encoders.IMAGE.extra_tokens", "encoder.cls_token"),
    ("modality_encoders.IMAGE.local_encoder.proj", "encoder.patch_embedding"),
    ("modality_encoders.IMAGE.fixed_positional_encoder.positions", "encoder.positions"),
    ("modality_encoders.IMAGE.context_encoder.norm", "encoder.input_norm"),
    ("modality_encoders.IMAGE.decoder.blocks", "decoder.blocks"),
    ("modality_encoders.IMAGE.decoder.proj", "decoder.projection"),
    ("blocks", "encoder.blocks"),
    ("fc_norm", "head.fc_norm"),
    ("head", "head.head"),
)


def our_name(official: str) -> str:
    """Where an official weight lies: in encoder, decoder or head."""
    official = official.removeprefix("model.")
    for theirs, ours in PARTS:
        if official.startswith(theirs):
            name = ours + official.removeprefix(theirs)
            return (
                name.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
                if "decoder" in name
                else name
            )
    raise KeyError(official)


def part_of(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    named = {our_name(name): weight for name, weight in weights.items() if name != "_ema"}
    return {
        name.removeprefix(part + "."): weight for name, weight in named.items() if name.startswith(part + ".")
    }


def build_encoder(settings: dict[str, Any], weights: Mapping[str, Tensor]) -> EATEncoder:
    encoder = EATEncoder(
        EATConfig(
            embed_dim=settings["embed_dim"],
            depth=settings["depth"],
            num_heads=settings["num_heads"],
            num_position_columns=settings["modalities"]["image"]["max_length"],
        )
    )
    encoder.load_state_dict(part_of(weights, "encoder"))
    return encoder


def build_pretraining(golden: Path, which: str, **options: Any) -> MaskedLatent:
    """The pre-training of a golden file (p1, p2) with the official settings; `options` replace ours."""
    saved = torch.load(golden / f"pretrain_{which}.pt", weights_only=True)
    settings = json.loads((golden / f"pretrain_{which}.model_cfg.json").read_text())
    image = settings["modalities"]["image"]
    decoder_settings = image["decoder"]
    decoder = EATDecoder(
        DecoderConfig(
            width=decoder_settings["decoder_dim"],
            kernel=decoder_settings["decoder_kernel"],
            groups=decoder_settings["decoder_groups"],
            num_layers=decoder_settings["decoder_layers"],
        ),
        settings["embed_dim"],
    )
    decoder.load_state_dict(part_of(saved["model"], "decoder"))
    official = {
        "target_length": image["target_length"],
        "num_clones": settings["clone_batch"],
        "mask": MaskConfig(mask_ratio=image["mask_prob"], adjust=image["mask_prob_adjust"], official=True),
        "average_top_k_layers": settings["average_top_k_layers"],
        "utterance_weight": settings["cls_loss"],
        "sums_utterance_rows": True,
        "ema_decay": settings["ema_decay"],
        "ema_end_decay": settings["ema_end_decay"],
        "ema_anneal_updates": settings["ema_anneal_end_step"],
    }
    return MaskedLatent(
        AudioEncoder(LogMelConfig(), build_encoder(settings, saved["model"])),
        decoder,
        MaskedLatentConfig(**(official | options)),
        teacher=build_encoder(settings, saved["model"]["_ema"]),
        seed=1,
    )


def build_classifier(golden: Path, *, multi_label: bool, mode: str = "CLS_TOKEN") -> AudioClassifier:
    """The fine-tuned golden model."""
    saved = torch.load(golden / "finetune.pt", weights_only=True)
    settings = saved["cfg"]["model"]["pretrained_model_args"]["model"]
    head = ClassificationHead(HeadConfig(num_classes=11, prediction_mode=mode), settings["embed_dim"])
    head.load_state_dict(part_of(saved["model"], "head"))
    return AudioClassifier(
        AudioEncoder(LogMelConfig(), build_encoder(settings, saved["model"])),
        head,
        tuple(f"species {i}" for i in range(11)),
        multi_label=multi_label,
    )


@pytest.fixture
def name_of() -> Callable[[str], str]:
    return our_name


@pytest.fixture
def pretraining(golden_eat: Path) -> Callable[..., MaskedLatent]:
    return lambda which, **options: build_pretraining(golden_eat, which, **options)


@pytest.fixture
def classifier(golden_eat: Path) -> Callable[..., AudioClassifier]:
    return lambda **settings: build_classifier(golden_eat, **settings)
