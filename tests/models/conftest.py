"""Official checkpoints under our names, by a mapping that is not the one in models/published_weights.py."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder

IMAGE = "modality_encoders.IMAGE."
STEMS = {
    f"{IMAGE}extra_tokens": "cls_token",
    f"{IMAGE}local_encoder.proj": "patch_embedding",
    f"{IMAGE}fixed_positional_encoder.positions": "positions",
    f"{IMAGE}context_encoder.norm": "input_norm",
    # Hugging Face's names
    "extra_tokens": "cls_token",
    "local_encoder.proj": "patch_embedding",
    "fixed_positional_encoder.positions": "positions",
    "pre_norm": "input_norm",
}


def our_encoder_name(official: str) -> str:
    for theirs, ours in STEMS.items():
        official = official.replace(theirs, ours)
    return official


def encoder_of(config: Mapping[str, Any], official: Mapping[str, Tensor]) -> EATEncoder:
    """Our encoder with official weights; `config` is `cfg["model"]` of a pre-trained checkpoint."""
    weights = {our_encoder_name(name): value for name, value in official.items() if ".decoder." not in name}
    encoder_config = EATConfig(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        num_position_columns=weights["positions"].shape[1] // 8,
    )
    encoder = EATEncoder(encoder_config)
    encoder.load_state_dict(weights)
    return encoder.eval()


@pytest.fixture(scope="session")
def official_encoder() -> Callable[[Mapping[str, Any], Mapping[str, Tensor]], EATEncoder]:
    return encoder_of


@pytest.fixture(scope="session")
def pretrained(golden_eat: Path) -> Callable[[str], tuple[EATEncoder, EATEncoder, EATDecoder]]:
    """Student, teacher and decoder of a tiny official pre-training checkpoint, "p1" or "p2"."""

    def load(name: str) -> tuple[EATEncoder, EATEncoder, EATDecoder]:
        checkpoint = torch.load(golden_eat / f"pretrain_{name}.pt", weights_only=True)
        config, official = checkpoint["cfg"]["model"], checkpoint["model"]
        student = encoder_of(config, {k: v for k, v in official.items() if k != "_ema"})
        teacher = encoder_of(config, official["_ema"])
        settings = config["modalities"]["image"]["decoder"]
        decoder_config = DecoderConfig(
            width=settings["decoder_dim"],
            kernel=settings["decoder_kernel"],
            groups=settings["decoder_groups"],
            num_layers=settings["decoder_layers"],
        )
        decoder = EATDecoder(decoder_config, config["embed_dim"])
        prefix = f"{IMAGE}decoder."
        decoder.load_state_dict(
            {
                k.removeprefix(prefix).replace(".0.", ".").replace("proj.", "projection."): v
                for k, v in official.items()
                if k.startswith(prefix)
            }
        )
        return student, teacher, decoder.eval()

    return load


BEATS_STEMS = {
    r"encoder\.layers\.\d+\.self_attn\.relative_attention_bias\.weight": "transformer.relative_bias.table",
    r"encoder\.pos_conv\.0\.bias": "position_convolution.bias",
    r"encoder\.pos_conv\.0\.weight_g": "position_convolution.gain",
    r"encoder\.pos_conv\.0\.weight_v": "position_convolution.direction",
    r"^layer_norm": "patch_norm",
    r"encoder\.layer_norm": "norm",
    r"post_extract_proj": "patch_projection",
    r"self_attn_layer_norm": "norm1",
    r"final_layer_norm": "norm2",
    r"encoder\.layers": "transformer.blocks",
    r"self_attn": "attn",
    r"grep_linear": "gate",
    r"grep_a": "gate_scale",
    r"fc1\.linear": "fc1",
}


def our_beats_name(official: str) -> str:
    if official.startswith("predictor."):
        return official.replace("predictor.", "head.head.")
    for theirs, ours in BEATS_STEMS.items():
        official = re.sub(theirs, ours, official)
    return f"encoder.{official}"


@pytest.fixture(scope="session")
def official_name() -> Callable[[str], str]:
    return our_beats_name


@pytest.fixture(scope="session")
def official_beats(golden_beats: Path) -> Callable[..., tuple[BEATsEncoder, dict[str, Tensor]]]:
    """A tiny official BEATs encoder without dropout, and the weights that are not its own."""

    def load(name: str, **changes: Any) -> tuple[BEATsEncoder, dict[str, Tensor]]:
        checkpoint = torch.load(golden_beats / f"{name}.pt", weights_only=True)
        cfg, official = checkpoint["cfg"], checkpoint["model"]
        config = BEATsConfig(
            patch_dim=cfg["embed_dim"],
            embed_dim=cfg["encoder_embed_dim"],
            hidden_dim=cfg["encoder_ffn_embed_dim"],
            depth=cfg["encoder_layers"],
            num_heads=cfg["encoder_attention_heads"],
            patch_bias=cfg["conv_bias"],
            activation=cfg["activation_fn"],
            norm_first=cfg["layer_norm_first"],
            deep_norm=cfg["deep_norm"],
            position_kernel=cfg["conv_pos"],
            position_groups=cfg["conv_pos_groups"],
            relative_bias=cfg["relative_position_embedding"],
            gated_bias=cfg["gru_rel_pos"],
            num_buckets=cfg["num_buckets"],
            max_distance=cfg["max_distance"],
            dropout=0.0,
            attention_dropout=0.0,
            input_dropout=0.0,
            layer_drop=0.0,
            **changes,
        )
        encoder = BEATsEncoder(config)
        others = ("predictor", "quantize")
        ours = {our_beats_name(k): v for k, v in official.items() if not k.startswith(others)}
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in ours.items()})
        return encoder.eval(), {k: v for k, v in official.items() if k.startswith(others)}

    return load


@pytest.fixture(scope="session")
def assert_near() -> Callable[[Tensor, "np.ndarray[Any, Any]", float], None]:
    """Compare with a golden array by the measure of its README: max|a-b| / max|b|."""

    def check(ours: Tensor, official: "np.ndarray[Any, Any]", tolerance: float) -> None:
        a = ours.detach().cpu().numpy().astype(np.float64)
        assert a.shape == official.shape
        assert np.abs(a - official).max() <= tolerance * np.abs(official).max()

    return check
