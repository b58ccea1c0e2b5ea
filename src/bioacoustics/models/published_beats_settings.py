"""Settings of published BEATs checkpoints <-> our headers: the official cfg, or the shapes of the weights."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.bundle import Header
from bioacoustics.models.codebook import CodebookConfig
from bioacoustics.models.heads import HeadConfig
from bioacoustics.models.published_settings import default_labels

# Ours, the official name, and what the official code takes where the file does not say.
_SETTINGS: tuple[tuple[str, str, Any], ...] = (
    ("patch_size", "input_patch_size", None),
    ("activation", "activation_fn", "gelu"),
    ("dropout", "dropout", 0.1),
    ("attention_dropout", "attention_dropout", 0.1),
    ("activation_dropout", "activation_dropout", 0.0),
    ("layer_drop", "encoder_layerdrop", 0.0),
    ("input_dropout", "dropout_input", 0.0),
    ("patch_bias", "conv_bias", False),
    ("norm_first", "layer_norm_first", False),
    ("deep_norm", "deep_norm", False),
    ("relative_bias", "relative_position_embedding", False),
    ("gated_bias", "gru_rel_pos", False),
    ("patch_dim", "embed_dim", 512),
    ("embed_dim", "encoder_embed_dim", 768),
    ("hidden_dim", "encoder_ffn_embed_dim", 3072),
    ("depth", "encoder_layers", 12),
    ("num_heads", "encoder_attention_heads", 12),
    ("position_kernel", "conv_pos", 128),
    ("position_groups", "conv_pos_groups", 16),
    ("num_buckets", "num_buckets", 320),
    ("max_distance", "max_distance", 1280),
    ("gradient_decay", "layer_wise_gradient_decay_ratio", 1.0),
)
_ALIASES = {"gelu_fast": "gelu_accurate"}


def header_of_beats(cfg: object, labels: object, weights: Mapping[str, Tensor]) -> Header:
    """The header of a BEATs checkpoint of any kind, whose weights already have our names.

    Args:
        cfg: the official settings, or a configuration that is known already.
        labels: the official `label_dict`, index to name; the order of the classes follows from it.
        weights: what the file holds.

    Raises:
        ValueError: if a setting is missing or cannot be followed.
    """
    settings: Mapping[str, Any] = cfg if isinstance(cfg, Mapping) else {}
    config = cfg if isinstance(cfg, BEATsConfig) else _config_of(settings)
    statistics = {
        ours: settings[theirs]
        for ours, theirs in (("mean", "fbank_mean"), ("std", "fbank_std"))
        if settings.get(theirs) is not None
    }
    log_mel = LogMelConfig.beats(**statistics)
    codes = weights.get("codebook.vectors")
    if codes is not None and codes.ndim == 2:
        codebook = CodebookConfig(num_codes=codes.shape[0], dim=codes.shape[1])
        return Header(kind="tokenizer", encoder=config, log_mel=log_mel, codebook=codebook)
    bias = weights.get("head.head.bias")
    if bias is None and not settings.get("finetuned_model"):
        return Header(kind="encoder", encoder=config, log_mel=log_mel)
    num_classes = len(bias) if bias is not None and bias.ndim else settings.get("predictor_class", 527)
    return Header(
        kind="classifier",
        encoder=config,
        log_mel=log_mel,
        head=HeadConfig(
            num_classes=num_classes,
            prediction_mode="MEAN_LOGITS",
            dropout=settings.get("predictor_dropout", 0.1) if settings else 0.0,
        ),
        labels=_labels(labels, num_classes),
        multi_label=True,
    )


def _config_of(settings: Mapping[str, Any]) -> BEATsConfig:
    values: dict[str, Any] = {}
    for ours, theirs, default in _SETTINGS:
        value = settings.get(theirs)
        if value is None and default is None:
            raise ValueError(f"the settings lack cfg.{theirs}, which the weights cannot tell")
        values[ours] = default if value is None else value
    values["activation"] = _ALIASES.get(values["activation"], values["activation"])
    return BEATsConfig(**values)


def config_of_weights(weights: Mapping[str, Tensor]) -> BEATsConfig:
    """The shape of a model of which there are only weights; the rest is as published.

    Raises:
        ValueError: if a weight is not there or has another number of dimensions than it should.
    """

    def shape(name: str, num_dimensions: int) -> tuple[int, ...]:
        if name not in weights or weights[name].ndim != num_dimensions:
            raise ValueError(f"the shape of the model cannot be told: {name} is missing or damaged")
        return tuple(weights[name].shape)

    patch_dim, _, patch_size, _ = shape("encoder.patch_embedding.weight", 4)
    embed_dim, group_dim, kernel = shape("encoder.position_convolution.direction", 3)
    num_buckets, num_heads = shape("encoder.transformer.relative_bias.table", 2)
    block = "encoder.transformer.blocks.0"
    _, hidden_dim = shape(f"{block}.fc2.weight", 2)
    depth = len([name for name in weights if name.endswith(".fc2.weight")])
    return BEATsConfig(
        patch_dim=patch_dim,
        patch_size=patch_size,
        patch_bias="encoder.patch_embedding.bias" in weights,
        embed_dim=embed_dim,
        hidden_dim=hidden_dim,
        depth=depth,
        num_heads=num_heads,
        activation="glu" if shape(f"{block}.fc1.weight", 2)[0] == 2 * hidden_dim else "gelu",
        position_kernel=kernel,
        position_groups=max(1, embed_dim // max(1, group_dim)),
        gated_bias=f"{block}.attn.gate_scale" in weights,
        num_buckets=num_buckets,
    )


def beats_cfg(header: Header) -> dict[str, Any]:
    """The official cfg that describes this model."""
    assert isinstance(header.encoder, BEATsConfig)
    cfg = {theirs: getattr(header.encoder, ours) for ours, theirs, _ in _SETTINGS}
    if header.codebook is not None:
        del cfg["layer_wise_gradient_decay_ratio"]  # unknown to the official tokenizer
        cfg["quant_n"], cfg["quant_dim"] = header.codebook.num_codes, header.codebook.dim
    else:
        cfg["finetuned_model"] = header.head is not None
    if header.head is not None:
        cfg["predictor_dropout"] = header.head.dropout
        cfg["predictor_class"] = header.head.num_classes
    published = LogMelConfig.beats()
    if (header.log_mel.mean, header.log_mel.std) != (published.mean, published.std):
        cfg["fbank_mean"], cfg["fbank_std"] = header.log_mel.mean, header.log_mel.std
        warnings.warn(
            "the official code takes the normalisation of spectrograms from its caller: tell it "
            f"fbank_mean={header.log_mel.mean} and fbank_std={header.log_mel.std}",
            stacklevel=3,
        )
    return cfg


def label_dict(header: Header) -> dict[int, str]:
    """The official table of a classifier's labels."""
    return dict(enumerate(header.labels))


def _labels(names: object, num_classes: int) -> tuple[str, ...]:
    if names is None:
        return default_labels(num_classes)
    if isinstance(names, Mapping) and set(names) == set(range(num_classes)):
        return tuple(str(names[i]) for i in range(num_classes))
    warnings.warn(
        f"label_dict does not number the {num_classes} classes of the file from 0: "
        "the classes are named by their indices",
        stacklevel=2,
    )
    return default_labels(num_classes)
