"""Saved models: any checkpoint, published or our own, to a model, and models to bundles."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from bioacoustics.audio.writing import atomic_write
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.bundle import (
    HEADER_KEY,
    Bundle,
    Header,
    header_from_json,
    modules_of,
    only_tensors,
    seal,
    write_bundle,
)
from bioacoustics.models.eat import EATDecoder, EATEncoder
from bioacoustics.models.encoders import Encoder
from bioacoustics.models.heads import ClassificationHead
from bioacoustics.models.published_beats import (
    bundle_of_beats,
    bundle_of_beats_weights,
    prefix_of_beats,
)
from bioacoustics.models.published_weights import WEIGHTS_FILE, bundle_of_fairseq, read_hugging_face
from bioacoustics.models.unpickling import load_pickled
from bioacoustics.models.writing import write_torch

__all__ = [
    "Bundle",
    "Header",
    "atomic_write",
    "build_classifier",
    "build_decoder",
    "build_encoder",
    "build_teacher",
    "bundle_of_classifier",
    "bundle_of_encoder",
    "bundle_of_pretraining",
    "is_own_file",
    "load_classifier",
    "load_encoder",
    "read_bundle",
    "read_classifier_bundle",
    "write_bundle",
    "write_torch",
]

_EXPECTED = (
    "expected a .pt or .safetensors file of this package, a fairseq checkpoint of EAT, "
    "a Hugging Face folder of EAT, or a checkpoint of BEATs"
)


def load_encoder(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> AudioEncoder:
    """Load the encoder of any saved model, in float32 and eval mode; of a pre-training it is the student.

    Args:
        path: our `.pt` or `.safetensors`; a fairseq EAT checkpoint, pre-trained or fine-tuned, or a Hugging
            Face folder of EAT or its `model.safetensors`; an official BEATs checkpoint, or one of OpenBEATs,
            ESPnet, avex or NatureLM-audio.
        device: where the model is to run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no EAT or BEATs model, is damaged or does not fit together; the message says what
            it is.
    """
    return build_encoder(read_bundle(path)).to(device)


def load_classifier(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> AudioClassifier:
    """Load a fine-tuned model with its labels, in float32 and eval mode; `path` as for `load_encoder`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: as for `load_encoder`, and if the model has no classification head.
    """
    return build_classifier(read_classifier_bundle(path)).to(device)


def read_classifier_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read a fine-tuned model; `path` and errors as for `load_classifier`."""
    bundle = read_bundle(path)
    if bundle.header.kind != "classifier":
        raise ValueError(
            f"{path}: this model has no classification head (it is saved as {bundle.header.kind!r}): "
            "fine-tune it first, or give the checkpoint of a fine-tuning"
        )
    return bundle


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read any saved model; `path` and errors as for `load_encoder`.

    Nothing in the file is executed: foreign objects in it are replaced or refused.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder; {_EXPECTED}")
    try:
        return _read_folder(path) if path.is_dir() else _read_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_own_file(path: Path) -> bool:
    """Whether a model that can be read is a bundle of this package, and not a published layout."""
    if path.is_dir():
        return False
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            return HEADER_KEY in (file.metadata() or {})
    content = load_pickled(path)
    return isinstance(content, Mapping) and HEADER_KEY in content


def _read_folder(folder: Path) -> Bundle:
    ours = sorted(
        entry.name for entry in folder.glob("checkpoint_*") if entry.suffix in {".pt", ".safetensors"}
    )
    if ours and not (folder / WEIGHTS_FILE).exists():
        raise ValueError(f"this is a folder; give one of its checkpoints: {', '.join(ours)}")
    return _read_safetensors(folder)


def _read_file(path: Path) -> Bundle:
    with path.open("rb") as file:
        start = file.read(9)
    # The header, which is JSON, comes after its length. That may begin like a pickle.
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size:
        return _read_safetensors(path)
    if start[:1] == b"\x80" or start[:2] == b"PK":
        return _read_pickled(path)
    if not start:
        raise ValueError("the file is empty")
    raise ValueError(
        f"it begins with {start!r}, so it is no checkpoint (perhaps a web page or a Git LFS pointer was "
        f"saved in its place); {_EXPECTED}"
    )


def _read_pickled(path: Path) -> Bundle:
    content = load_pickled(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__}; {_EXPECTED}")  # noqa: TRY004 -- the file's fault
    match content:
        case {"bioacoustics": str(header), "weights": Mapping() as weights}:
            return _own_bundle(header, weights)
        case {"model": Mapping() as weights, "cfg": Mapping() as settings} if (
            "encoder_layers" in settings or prefix_of_beats(weights) is not None
        ):
            return bundle_of_beats(content)
        case {"model": Mapping(), "cfg": _}:
            return bundle_of_fairseq(content)
    for part in (content.get("model_state_dict"), content.get("model"), content):
        if isinstance(part, Mapping) and (prefix := prefix_of_beats(part)) is not None:
            return bundle_of_beats_weights(part, prefix)
    raise ValueError(f"it holds {', '.join(sorted(map(str, content))[:10]) or 'nothing'}; {_EXPECTED}")


def _read_safetensors(path: Path) -> Bundle:
    """Our own file, or a Hugging Face folder or the weights inside it."""
    file_path = path / WEIGHTS_FILE if path.is_dir() else path
    try:
        if not file_path.is_file():
            return read_hugging_face(path)  # which tells what is not there
        with safetensors.safe_open(file_path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
            names = list(file.keys())
            prefix = prefix_of_beats(names)
            if header is not None or prefix is not None:
                weights = {name: file.get_tensor(name) for name in names}
                return (
                    _own_bundle(header, weights) if header else bundle_of_beats_weights(weights, prefix or "")
                )
        if path.is_dir():
            return read_hugging_face(path)
        if path.name != WEIGHTS_FILE:
            raise ValueError(f"it has no header of this package and is no {WEIGHTS_FILE}; {_EXPECTED}")
        return read_hugging_face(path.parent)
    except safetensors.SafetensorError as error:
        raise ValueError(f"the weights cannot be read, perhaps damaged ({error})") from error


def _own_bundle(header_text: str, weights: Mapping[str, Any]) -> Bundle:
    header = header_from_json(header_text)
    bundle = seal(header, only_tensors(weights))
    if bundle.header.fingerprint != header.fingerprint:
        raise ValueError(
            "its fingerprint does not fit its content: it is damaged, or was changed after saving; "
            "take another copy"
        )
    return bundle


def build_encoder(bundle: Bundle) -> AudioEncoder:
    """The encoder of a bundle, on the CPU, in float32 and eval mode; of a pre-training the student."""
    encoder = build_part(bundle, "encoder")
    assert isinstance(encoder, Encoder)
    return AudioEncoder(bundle.header.log_mel, encoder).eval()


def build_teacher(bundle: Bundle) -> EATEncoder | None:
    """The teacher of EAT's pre-training, if the bundle has one; otherwise like `build_encoder`."""
    if not _part(bundle, "teacher"):
        return None
    teacher = build_part(bundle, "encoder", filled_from="teacher")
    assert isinstance(teacher, EATEncoder)
    return teacher


def build_decoder(bundle: Bundle) -> EATDecoder | None:
    """The decoder of EAT's pre-training, if the bundle has one; otherwise like `build_encoder`."""
    if bundle.header.decoder is None:
        return None
    decoder = build_part(bundle, "decoder")
    assert isinstance(decoder, EATDecoder)
    return decoder


def build_classifier(bundle: Bundle) -> AudioClassifier:
    """The classifier of a bundle of that kind; otherwise like `build_encoder`."""
    header = bundle.header
    assert header.multi_label is not None
    head = build_part(bundle, "head")
    assert isinstance(head, ClassificationHead)
    return AudioClassifier(
        build_encoder(bundle),
        head,
        header.labels,
        multi_label=header.multi_label,
        target_length=header.target_length,
    ).eval()


def bundle_of_encoder(encoder: AudioEncoder) -> Bundle:
    """A bundle of an encoder alone, a copy of its present weights."""
    return seal(
        Header(kind="encoder", encoder=encoder.config, log_mel=encoder.front_end.config),
        weights_of(encoder=encoder.encoder),
    )


def bundle_of_classifier(
    classifier: AudioClassifier, calibration: dict[str, JsonValue] | None = None
) -> Bundle:
    """A bundle of a classifier with its labels, a copy of its present weights."""
    header = Header(
        kind="classifier",
        encoder=classifier.encoder.config,
        log_mel=classifier.encoder.front_end.config,
        head=classifier.head.config,
        labels=classifier.labels,
        multi_label=classifier.multi_label,
        target_length=classifier.target_length,
        calibration=calibration,
    )
    return seal(header, weights_of(encoder=classifier.encoder.encoder, head=classifier.head))


def bundle_of_pretraining(encoder: AudioEncoder, decoder: EATDecoder, teacher: EATEncoder) -> Bundle:
    """A bundle of all that EAT's pre-training needs to go on from, a copy of the present weights."""
    header = Header(
        kind="pretraining",
        encoder=encoder.config,
        log_mel=encoder.front_end.config,
        decoder=decoder.config,
    )
    return seal(header, weights_of(encoder=encoder.encoder, decoder=decoder, teacher=teacher))


def build_part(bundle: Bundle, part: str, *, filled_from: str | None = None) -> nn.Module:
    """One part of the model, with its own weights or those of another part of the same shape."""
    module = modules_of(bundle.header)[part]
    weights = _part(bundle, filled_from or part)
    copies = {name: weight.to(torch.float32, copy=True) for name, weight in weights.items()}
    module.load_state_dict(copies, strict=True, assign=True)
    return module.eval()


def _part(bundle: Bundle, part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): weight
        for name, weight in bundle.weights.items()
        if name.startswith(prefix)
    }


def weights_of(**parts: nn.Module) -> dict[str, Tensor]:
    """The weights of some parts, named as in a bundle."""
    return {
        f"{part}.{name}": weight
        for part, module in parts.items()
        for name, weight in module.state_dict().items()
    }
