"""Published BEATs checkpoints <-> our bundles: the official layout, and those of projects that build on it.

The official file holds `cfg`, `model` and, of a fine-tuned model, `label_dict`; OpenBEATs adds settings.
Files of ESPnet, avex and NatureLM hold weights alone, under names with a prefix. As for EAT, nothing is lost
silently, and a file in the official layout is written again with the same weights and settings.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.bundle import EXTRA, Bundle, Header, Source, only_tensors, seal
from bioacoustics.models.published_beats_settings import (
    beats_cfg,
    config_of_weights,
    header_of_beats,
    label_dict,
)
from bioacoustics.models.published_carrying import (
    CARRIED_HEADER,
    carried_header,
    from_json,
    main_dtype,
    sections_to_json,
    with_carried_header,
)
from bioacoustics.models.published_names import pattern_of, translated
from bioacoustics.models.unpickling import plain
from bioacoustics.models.writing import write_torch

_BLOCK, _LAYER = "encoder.transformer.blocks.{}", "encoder.layers.{}"
_TABLE = "encoder.transformer.relative_bias.table"
# Ours and the official name of each module or parameter; {} is the number of a block.
_STEMS = (
    ("encoder.patch_embedding", "patch_embedding"),
    ("encoder.patch_norm", "layer_norm"),
    ("encoder.patch_projection", "post_extract_proj"),
    ("encoder.position_convolution.gain", "encoder.pos_conv.0.weight_g"),
    ("encoder.position_convolution.direction", "encoder.pos_conv.0.weight_v"),
    ("encoder.position_convolution", "encoder.pos_conv.0"),
    ("encoder.norm", "encoder.layer_norm"),
    (_TABLE, f"{_LAYER}.self_attn.relative_attention_bias.weight"),  # one table, told again for every layer
    (f"{_BLOCK}.attn.gate_scale", f"{_LAYER}.self_attn.grep_a"),
    (f"{_BLOCK}.attn.gate", f"{_LAYER}.self_attn.grep_linear"),
    (f"{_BLOCK}.attn", f"{_LAYER}.self_attn"),
    (f"{_BLOCK}.norm1", f"{_LAYER}.self_attn_layer_norm"),
    (f"{_BLOCK}.norm2", f"{_LAYER}.final_layer_norm"),
    (f"{_BLOCK}.fc1", f"{_LAYER}.fc1.linear"),  # of a gated MLP
    (f"{_BLOCK}.fc1", f"{_LAYER}.fc1"),
    (f"{_BLOCK}.fc2", f"{_LAYER}.fc2"),
    ("head.head", "predictor"),
    ("projection.{}", "quantize_layer.{}"),
    ("codebook.vectors", "quantize.embedding.weight"),
    ("codebook.is_started", "quantize.embedding.initted"),
    ("codebook.usage", "quantize.cluster_size"),
)
_FROM_THEIRS = [(pattern_of(theirs), ours) for ours, theirs in _STEMS]
# How newer versions of PyTorch name the two halves of a normalised weight.
_NEW_NAMES = {
    "encoder.pos_conv.0.parametrizations.weight.original0": "encoder.pos_conv.0.weight_g",
    "encoder.pos_conv.0.parametrizations.weight.original1": "encoder.pos_conv.0.weight_v",
}
# What nothing depends on: weights by which ESPnet lengthens padding masks, and traces that the official
# quantiser left of the start of its codebook.
_TRACES = {"quantize.embedding.embed_avg": "vectors", "quantize.embedding.cluster_size": "usage"}
_WITHOUT_USE = {"patch_embedding_pad.weight", "raw2fbank_pad.weight", *_TRACES}
_ANCHOR = "patch_embedding.weight"


def prefix_of_beats(names: Iterable[object]) -> str | None:
    """What stands before the official names in a state dict of a BEATs model; None if it is of another."""
    known = {name for name in names if isinstance(name, str)}
    for name in sorted(name for name in known if name.endswith(_ANCHOR)):
        prefix = name.removesuffix(_ANCHOR)
        if f"{prefix}encoder.pos_conv.0.bias" in known:
            return prefix
    return None


def bundle_of_beats(checkpoint: Mapping[str, Any]) -> Bundle:
    """Make a bundle of a loaded checkpoint in the official layout, pre-trained or fine-tuned.

    A wrapping model may have put a prefix before the names of its weights.

    Raises:
        ValueError: if a setting cannot be followed, or a weight is unknown, missing or of the wrong shape.
    """
    weights = only_tensors(checkpoint["model"])
    prefix = prefix_of_beats(weights) or ""
    places = {theirs: _our_name(theirs.removeprefix(prefix), theirs) for theirs in weights}
    ours = _renamed(weights, places)
    carried = with_carried_header(checkpoint.get(CARRIED_HEADER), ours)
    if carried is not None:
        return carried
    cfg = plain(checkpoint["cfg"])
    settings, dropped = sections_to_json({**checkpoint, "cfg": cfg})
    source = Source(
        layout="beats",
        dtype=main_dtype(weights.values()),
        keys=tuple(weights),
        settings=settings,
        dropped=dropped,
    )
    header = header_of_beats(cfg, checkpoint.get("label_dict"), ours)
    return _sealed(header, source, ours, places)


def bundle_of_beats_weights(state_dict: Mapping[str, Any], prefix: str) -> Bundle:
    """Make a bundle of the weights alone, as ESPnet, avex and NatureLM publish them.

    Their shapes tell the shape of the model, but not how many steps its bias of distances tells apart nor how
    spectrograms were normalised: there the published values are taken, with a warning. Weights that do not
    begin with `prefix` belong to what was built on BEATs and are left behind.

    Raises:
        ValueError: if a weight is unknown, missing or of the wrong shape.
    """
    inside = only_tensors(
        {name: weight for name, weight in state_dict.items() if str(name).startswith(prefix)}
    )
    places = {theirs: _our_name(theirs.removeprefix(prefix), theirs) for theirs in inside}
    ours = _renamed(inside, places)
    others = sorted({str(name).split(".")[0] for name in state_dict if name not in inside})
    source = Source(
        layout="beats",
        dtype=main_dtype(inside.values()),
        keys=tuple(inside),
        settings={},
        dropped=tuple(f"weights of {name}" for name in others),
    )
    config = config_of_weights(ours)
    told = f"; not carried along are the weights of {', '.join(others)}" if others else ""
    warnings.warn(
        "the file holds weights without settings: max_distance, the norms and the normalisation of "
        f"spectrograms are taken to be those of the published BEATs{told}",
        stacklevel=2,
    )
    return _sealed(header_of_beats(config, None, ours), source, ours, places)


def write_beats(bundle: Bundle, path: Path) -> None:
    """Write a bundle in the official layout of BEATs; warns of what other programs must then be told.

    The two halves of the normalised weight get their old names, which all versions of the official code read.

    Raises:
        ValueError: if the official code cannot compute what this model computes.
        OSError: if it cannot be written.
    """
    _check_writable(bundle.header)
    bundle = _without_pretraining(bundle)
    header, source = bundle.header, bundle.header.source
    settings = source.settings if source is not None and source.layout == "beats" else {}
    sections = {name: from_json(value) for name, value in settings.items()}
    if source is not None and "cfg" in sections:
        prefix = prefix_of_beats(source.keys) or ""
        official = [theirs.removeprefix(prefix) for theirs in source.keys]
        model = {_NEW_NAMES.get(name, name): bundle.weights[_our_name(name, name)] for name in official}
    else:
        sections = {"cfg": beats_cfg(header)}
        if header.head is not None:
            sections["label_dict"] = label_dict(header)
        model = {
            theirs: weight
            for name, weight in bundle.weights.items()
            if not name.startswith(EXTRA)
            for theirs in _their_names(name, header)
        }
        if header.codebook is not None:  # the official code does not load without them
            model |= {theirs: bundle.weights[f"codebook.{ours}"].clone() for theirs, ours in _TRACES.items()}
    understood = header_of_beats(sections["cfg"], sections.get("label_dict"), bundle.weights)
    write_torch(sections | {"model": model} | carried_header(header, understood), path)


def _check_writable(header: Header) -> None:
    if not isinstance(header.encoder, BEATsConfig):
        raise ValueError(  # noqa: TRY004 -- it is the user's file that does not suit
            f"this layout is that of BEATs models, and this is a {header.architecture!r} model"
        )
    if header.encoder.num_mels != 128:
        raise ValueError(f"the official BEATs code has 128 mel bands, this model {header.encoder.num_mels}")
    if header.head is not None and header.head.prediction_mode != "MEAN_LOGITS":
        raise ValueError(
            "the official BEATs code classifies by MEAN_LOGITS, this model by "
            f"{header.head.prediction_mode}: fine-tune it with --prediction_mode MEAN_LOGITS"
        )


def _without_pretraining(bundle: Bundle) -> Bundle:
    """The encoder alone, where the bundle holds what only a pre-training needs."""
    if bundle.header.kind != "pretraining":
        return bundle
    left = sorted({name.split(".")[0] for name in bundle.weights} - {"encoder"})
    warnings.warn(f"this layout has no place for {', '.join(left)}: not carried along", stacklevel=3)
    nothing = {"kind": "encoder", "predictor": None, "random_projection": None}
    encoder = {name: weight for name, weight in bundle.weights.items() if name.startswith("encoder.")}
    return seal(bundle.header.model_copy(update=nothing), encoder)


def _sealed(
    header: Header, source: Source, weights: Mapping[str, Tensor], places: Mapping[str, str]
) -> Bundle:
    known = {name: theirs for theirs, name in places.items()}

    def name_in_messages(name: str) -> str:
        return known.get(name) or next(iter(_their_names(name, header)))

    return seal(header.model_copy(update={"source": source}), weights, name_in_messages)


def _our_name(official: str, theirs: str) -> str:
    if official in _WITHOUT_USE:
        return EXTRA + official
    ours = translated(_NEW_NAMES.get(official, official), _FROM_THEIRS)
    if ours is None:
        raise ValueError(f"unknown weight {theirs}: no part of a BEATs model is called so")
    return ours


def _their_names(name: str, header: Header) -> Iterable[str]:
    """The official name of a weight; of the table of distances one for each layer."""
    if name == _TABLE:
        return [_STEMS_BY_OURS[_TABLE].format(i) for i in range(header.encoder.depth)]
    is_gated = isinstance(header.encoder, BEATsConfig) and header.encoder.activation == "glu"
    skipped = f"{_LAYER}.fc1" if is_gated else f"{_LAYER}.fc1.linear"
    from_ours = [(pattern_of(ours), theirs) for ours, theirs in _STEMS if theirs != skipped]
    return [translated(name, from_ours) or name]


_STEMS_BY_OURS = dict(_STEMS)


def _renamed(weights: Mapping[str, Tensor], places: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights by our names; the table of distances once, though every layer tells it."""
    renamed: dict[str, Tensor] = {}
    for theirs, weight in weights.items():
        ours = places[theirs]
        if ours not in renamed:
            renamed[ours] = weight
        elif ours != _TABLE:
            raise ValueError(f"several weights for the same part of the model: {theirs} is one of them")
        elif not torch.equal(renamed[ours], weight):
            raise ValueError(f"{theirs} differs from that of another layer, but all BEATs layers share one")
    return renamed
