"""The bundle: one saved model, as a header that says what it is and the weights by name.

Weights are named after the modules they belong to (`modules_of`): `encoder.*` is the EATEncoder or
BEATsEncoder (of a pre-training the student), `decoder.*` and `teacher.*` come with EAT's pre-training,
`predictor.*` and, where it was the tokenizer, `random_projection.*` with BEATs', `projection.*` and
`codebook.*` with a learnt tokenizer, `head.*` with a classifier, `extra.*` are weights of a published file
that nothing here uses.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, Field, JsonValue, ValidationError, model_validator
from torch import Tensor, nn

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.writing import atomic_write
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.card import PUBLISHED_LICENCES, Card, Layout
from bioacoustics.models.codebook import Codebook, CodebookConfig, projection_to_codes
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder
from bioacoustics.models.encoders import CONFIGS, Architecture, EncoderConfig, architecture_of, encoder_of
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.random_projection import RandomProjection, RandomProjectionConfig
from bioacoustics.models.thresholds import Thresholds
from bioacoustics.models.writing import write_torch

FORMAT_VERSION: Literal[1] = 1
HEADER_KEY = "bioacoustics"
EXTRA = "extra."
Kind = Literal["encoder", "classifier", "pretraining", "tokenizer"]


def _versions() -> dict[str, str]:
    return {
        "bioacoustics": importlib.metadata.version("bioacoustics"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


class Source(BaseModel, frozen=True, extra="forbid"):
    """Where a converted model came from: what the published file held beside the weights."""

    layout: Layout
    dtype: str  # of most weights, such as "float16"
    keys: tuple[str, ...]  # their names of the weights, in their order
    teacher_keys: tuple[
        str, ...
    ] = ()  # the same of the teacher, which fairseq keeps in a dictionary of its own
    settings: dict[str, JsonValue]  # Hugging Face: config.json; others: everything but the weights
    metadata: dict[str, str] = {}  # of the safetensors file
    dropped: tuple[str, ...] = ()  # parts of the file that are not carried, such as the optimizer state


class Header(BaseModel, frozen=True, extra="forbid"):
    """Everything about a saved model but its weights; enough to build it."""

    format_version: Literal[1] = FORMAT_VERSION
    kind: Kind
    architecture: Architecture = "eat"  # follows from the encoder's configuration
    encoder: EncoderConfig
    log_mel: LogMelConfig
    decoder: DecoderConfig | None = None
    predictor: LabelPredictorConfig | None = None
    random_projection: RandomProjectionConfig | None = None  # the tokenizer that the predictor learnt from
    codebook: CodebookConfig | None = None
    head: HeadConfig | None = None
    labels: tuple[str, ...] = ()
    multi_label: bool | None = None  # probabilities by sigmoid if true, by softmax if false
    target_length: int | None = Field(default=None, gt=0)  # frames that a classifier pads shorter clips to
    calibration: dict[str, JsonValue] | None = None
    source: Source | None = None
    versions: dict[str, str] = Field(default_factory=_versions)
    # Thresholds say what is made of scores, not what scores are: results of before stay those of this model.
    thresholds: Thresholds | None = None
    card: Card | None = None  # None: published, or saved before there were cards
    fingerprint: str = ""  # sha256 of the weights and of all settings above `source`

    @property
    def known_card(self) -> Card:
        """The card, or as much of one as can be told of a model without."""
        if self.card is not None:
            return self.card
        return Card(licence=PUBLISHED_LICENCES[self.source.layout] if self.source else "")

    @model_validator(mode="before")
    @classmethod
    def _agree_on_architecture(cls, values: Any) -> Any:
        """A configuration tells its architecture, and a stored architecture how to read its configuration."""
        match values:
            case {"encoder": EATConfig() | BEATsConfig() as encoder, **rest} if "architecture" not in rest:
                return {**rest, "architecture": architecture_of(encoder), "encoder": encoder}
            case {"encoder": dict(encoder), **rest} if (name := rest.get("architecture", "eat")) in CONFIGS:
                return {**rest, "encoder": CONFIGS[name].model_validate(encoder)}
        return values

    @model_validator(mode="after")
    def _check_parts(self) -> "Header":
        if self.encoder.num_mels != self.log_mel.num_mels:
            raise ValueError(
                f"the encoder expects {self.encoder.num_mels} mel bands, "
                f"the front end makes {self.log_mel.num_mels}"
            )
        if (self.kind == "classifier") != (self.head is not None):
            raise ValueError(
                f"a model of kind {self.kind!r} with head {self.head}: exactly classifiers have one"
            )
        if self.head is not None:
            if len(self.labels) != self.head.num_classes:
                raise ValueError(f"{len(self.labels)} labels for {self.head.num_classes} classes")
            if self.multi_label is None:
                raise ValueError("a classifier must say whether it is multi_label")
        if self.architecture != architecture_of(self.encoder):
            raise ValueError(
                f"architecture {self.architecture!r} does not go with a {type(self.encoder).__name__}"
            )
        if (self.kind == "tokenizer") != (self.codebook is not None):
            raise ValueError(
                f"a model of kind {self.kind!r} with codebook {self.codebook}: exactly tokenizers have one"
            )
        if self.thresholds is not None and (
            strangers := sorted(self.thresholds.classes.keys() - set(self.labels))
        ):
            raise ValueError(f"thresholds for {', '.join(strangers)}, which are no labels of this model")
        for name in ("decoder", "predictor", "random_projection"):
            if self.kind != "pretraining" and getattr(self, name) is not None:
                raise ValueError(f"a model of kind {self.kind!r} has no {name}")
        return self


@dataclass(frozen=True)
class Bundle:
    """A saved model: its header and its weights on the CPU, in the precision they are stored in."""

    header: Header
    weights: dict[str, Tensor]

    def with_card(self, card: Card | None) -> "Bundle":
        """The same model with another card."""
        return Bundle(self.header.model_copy(update={"card": card}), self.weights)


def only_tensors(weights: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the weights of a file, once it is sure that they are named tensors.

    Raises:
        ValueError: if one is not.
    """
    for name, weight in weights.items():
        if not (isinstance(name, str) and isinstance(weight, Tensor)):
            raise ValueError(  # noqa: TRY004 -- it is the user's file that is wrong, not a caller
                f"weight {name} is of type {type(weight).__name__}, expected a tensor"
            )
    return dict(weights)


def seal(
    header: Header, weights: Mapping[str, Tensor], name_in_messages: Callable[[str], str] = str
) -> Bundle:
    """Make a bundle: copy the weights to the CPU, check them against the header and take the fingerprint.

    Raises:
        ValueError: if a weight is missing, unknown or of the wrong shape; see `name_in_messages`.
    """
    check_weights(header, weights, name_in_messages)
    copies = {
        name: weight.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, weight in weights.items()
    }
    return Bundle(header.model_copy(update={"fingerprint": fingerprint_of(header, copies)}), copies)


def check_weights(
    header: Header, weights: Mapping[str, Tensor], name_in_messages: Callable[[str], str] = str
) -> None:
    """Compare the names and shapes of weights with the model that the header describes.

    Raises:
        ValueError: if they differ in anything.
    """
    for name, weight in weights.items():
        if not (weight.is_floating_point() or name.startswith(EXTRA)):
            raise ValueError(f"weight {name_in_messages(name)} is of type {weight.dtype}, expected floats")
    expected = _expected_shapes(header, has_teacher=any(name.startswith("teacher.") for name in weights))
    found = {name: weight for name, weight in weights.items() if not name.startswith(EXTRA)}
    misfits = [
        f"{name_in_messages(name)} is {tuple(found[name].shape)}, expected {tuple(expected[name])}"
        for name in expected.keys() & found.keys()
        if found[name].shape != expected[name]
    ]
    problems = {
        "missing": [name_in_messages(name) for name in expected.keys() - found.keys()],
        "unknown": [name_in_messages(name) for name in found.keys() - expected.keys()],
        "of another shape": misfits,
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {_first_of(names)}" for what, names in problems.items() if names)
        raise ValueError(f"the weights do not fit the settings; {told}")


def _first_of(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def modules_of(header: Header) -> dict[str, nn.Module]:
    """What the header describes, by the name of each part; shapes only, without memory and weights."""
    with torch.device("meta"):  # draws no random numbers
        parts: dict[str, nn.Module] = {"encoder": encoder_of(header.encoder)}
        if header.decoder is not None:
            parts["decoder"] = EATDecoder(header.decoder, header.encoder.embed_dim)
        if header.predictor is not None:
            parts["predictor"] = LabelPredictor(header.predictor, header.encoder.embed_dim)
        if header.random_projection is not None:
            parts["random_projection"] = RandomProjection(header.random_projection)
        if header.codebook is not None:
            parts["projection"] = projection_to_codes(header.encoder.embed_dim, header.codebook)
            parts["codebook"] = Codebook(header.codebook)
        if header.head is not None:
            parts["head"] = ClassificationHead(header.head, header.encoder.embed_dim)
    return parts


def _expected_shapes(header: Header, *, has_teacher: bool) -> dict[str, torch.Size]:
    parts = modules_of(header)
    if has_teacher:
        parts["teacher"] = parts["encoder"]
    return {
        f"{part}.{name}": weight.shape
        for part, module in parts.items()
        for name, weight in module.state_dict().items()
    }


def fingerprint_of(header: Header, weights: Mapping[str, Tensor]) -> str:
    """Sha256 over weights and settings: equal exactly when two bundles are the same model."""
    # Defaults are left out so that a setting added later does not change the fingerprints of older models.
    told = {"source", "versions", "thresholds", "card", "fingerprint"}
    settings = header.model_dump(mode="json", exclude=told, exclude_defaults=True)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name in sorted(weights):
        weight = weights[name]
        digest.update(f"\n{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def header_to_json(header: Header) -> str:
    """The header as the text that is stored in files."""
    return json.dumps(header.model_dump(), ensure_ascii=False)


def header_from_json(text: str) -> Header:
    """Read a stored header.

    Raises:
        ValueError: if it is no header, or of a version that this package does not know.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is damaged: {error}") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"it is a bundle of format {version!r} and this package reads format {FORMAT_VERSION}: "
            "install a newer bioacoustics"
        )
    try:
        return Header.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"its header is not understood: {error}") from error


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle as `.pt` (torch.save) or `.safetensors`, as the suffix says; the content is the same.

    Raises:
        ValueError: if the suffix is another one.
        OSError: if it cannot be written; what was at `path` before is then still there.
    """
    header = header_to_json(bundle.header)
    match path.suffix:
        case ".pt":
            write_torch({HEADER_KEY: header, "weights": bundle.weights}, path)
        case ".safetensors":
            # One entry of metadata only: several come in random order, and equal models make equal files.
            content = safetensors.torch.save(bundle.weights, {HEADER_KEY: header})
            with atomic_write(path) as file:
                file.write(content)
        case suffix:
            raise ValueError(f"{path}: a model is saved as .pt or .safetensors, not as {suffix!r}")
