"""Names of weights in published EAT checkpoints <-> ours."""

import re
from collections.abc import Callable, Iterable, Mapping

from bioacoustics.models.bundle import EXTRA, Header
from bioacoustics.models.card import Layout

TEACHER = "_ema"  # fairseq's dictionary of the teacher's weights, inside that of the model

_MODALITY = "modality_encoders.IMAGE."  # the official code grew out of one for images
# Ours, fairseq's and Hugging Face's name of each module or parameter; {} is the number of a block.
_STEMS = (
    ("encoder.cls_token", f"{_MODALITY}extra_tokens", "extra_tokens"),
    ("encoder.patch_embedding", f"{_MODALITY}local_encoder.proj", "local_encoder.proj"),
    (
        "encoder.positions",
        f"{_MODALITY}fixed_positional_encoder.positions",
        "fixed_positional_encoder.positions",
    ),
    ("encoder.input_norm", f"{_MODALITY}context_encoder.norm", "pre_norm"),
    ("decoder.blocks.{}", f"{_MODALITY}decoder.blocks.{{}}.0", None),
    ("decoder.projection", f"{_MODALITY}decoder.proj", None),
    ("encoder.blocks.{}", "blocks.{}", "blocks.{}"),
    ("head.fc_norm", "fc_norm", "fc_norm"),
    ("head.head", "head", "head"),
)


def pattern_of(stem: str) -> re.Pattern[str]:
    """Matches the names that begin with a stem; {} in it stands for the number of a block."""
    return re.compile(re.escape(stem).replace(r"\{\}", r"(?P<number>\d+)") + r"(?P<rest>\..+)?")


_FROM_THEIRS = [(pattern_of(theirs), ours) for ours, *both in _STEMS for theirs in both if theirs is not None]
_FROM_OURS: dict[Layout, list[tuple[re.Pattern[str], str]]] = {
    "fairseq": [(pattern_of(ours), theirs) for ours, theirs, _ in _STEMS],
    "huggingface": [(pattern_of(ours), theirs) for ours, _, theirs in _STEMS if theirs is not None],
}
_OLD_POSITIONS = re.compile(re.escape(_MODALITY) + r"positional_encoder\.(positions|pos_embed)")
_SEQUENTIAL_PATCHES = re.compile(re.escape(_MODALITY) + r"local_encoder\.\d+\..+")
# Weights of experiments and of other data2vec models; EAT's features do not depend on them.
_WITHOUT_USE = re.compile(
    rf"({re.escape(_MODALITY)})?"
    r"(encoder_mask|alibi_bias|alibi_scale|center|(recon_proj|shared_decoder|cls_proj)\..+)"
)


def our_name(theirs: str) -> str:
    """Our name of a weight, whatever prefix a data-parallel run or a wrapping model has put before its own.

    Raises:
        ValueError: if no part of an EAT model is called so.
    """
    name = theirs.removeprefix("module.").removeprefix("model.")
    if _WITHOUT_USE.fullmatch(name):
        return EXTRA + name
    if _OLD_POSITIONS.fullmatch(name):
        return "encoder.positions"
    if _SEQUENTIAL_PATCHES.fullmatch(name):
        raise ValueError(
            f"weight {theirs}: an embedding of patches in two steps (a convolution, then a linear layer) is "
            "not supported; the published EAT models do it in one"
        )
    ours = translated(name, _FROM_THEIRS)
    if ours is None:
        raise ValueError(f"unknown weight {theirs}: no part of an EAT model is called so")
    return ours


def teacher_name(theirs: str) -> str:
    """Our name of a weight of the teacher."""
    name = our_name(theirs)
    return (
        f"{EXTRA}{TEACHER}.{name}" if name.startswith(EXTRA) else f"teacher.{name.removeprefix('encoder.')}"
    )


def translated(name: str, table: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    """The name with its stem replaced by that of the first pattern that matches; None if none does."""
    for pattern, stem in table:
        found = pattern.fullmatch(name)
        if found:
            return stem.format(found.groupdict().get("number")) + (found["rest"] or "")
    return None


def namer(known: Mapping[str, str], header: Header, layout: Layout) -> Callable[[str], str]:
    """A function from our names to theirs: those that are known of the file, else the published ones."""

    def their_name(name: str) -> str:
        if name in known:
            return known[name]
        ours = name.replace("teacher.", "encoder.", 1) if name.startswith("teacher.") else name
        theirs = translated(ours, _FROM_OURS[layout]) or name
        is_wrapped = layout == "huggingface" or (header.head is not None and not ours.startswith("head."))
        return f"model.{theirs}" if is_wrapped else theirs

    return their_name
