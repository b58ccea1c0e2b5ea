"""Encoders: which there are, by the name of their architecture."""

from typing import Literal

from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder

Architecture = Literal["eat", "beats"]
Encoder = EATEncoder | BEATsEncoder
EncoderConfig = EATConfig | BEATsConfig

CONFIGS: dict[Architecture, type[EncoderConfig]] = {"eat": EATConfig, "beats": BEATsConfig}


def architecture_of(config: EncoderConfig) -> Architecture:
    """Name of the architecture that a configuration is of."""
    return "eat" if isinstance(config, EATConfig) else "beats"


def encoder_of(config: EncoderConfig) -> Encoder:
    """A new encoder with random weights."""
    return EATEncoder(config) if isinstance(config, EATConfig) else BEATsEncoder(config)
