"""What goes with the weights of a published checkpoint: its settings as JSON, and our header inside it."""

import argparse
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from bioacoustics.models.bundle import Bundle, Header, header_from_json, header_to_json, seal

# Under this key a file in a published layout carries our header where its settings cannot say everything.
CARRIED_HEADER = "bioacoustics_header"


def carried_header(header: Header, understood: Header) -> dict[str, str]:
    """Our header, to be carried in a published file, unless the settings there say all that it says."""
    not_compared = {"source", "versions", "fingerprint"}
    if header.model_dump(exclude=not_compared) == understood.model_dump(exclude=not_compared):
        return {}
    if header.log_mel != understood.log_mel:
        taken = understood.log_mel.model_dump()
        unsaid = {name: value for name, value in header.log_mel.model_dump().items() if value != taken[name]}
        warnings.warn(
            f"this layout cannot say how spectrograms are made; other programs must be told: {unsaid}",
            stacklevel=3,
        )
    return {CARRIED_HEADER: header_to_json(header)}


def with_carried_header(text: object, weights: Mapping[str, Tensor]) -> Bundle | None:
    """The bundle with the header that its file carries, unless the weights have changed since."""
    if not isinstance(text, str):
        return None
    try:
        header = header_from_json(text)
        bundle = seal(header, weights)
    except ValueError:  # of a later format, or of other weights: the file's own settings still hold
        return None
    return bundle if bundle.header.fingerprint == header.fingerprint else None


def main_dtype(weights: Iterable[Tensor]) -> str:
    """The precision of most weights, such as "float16"."""
    dtypes = Counter(str(weight.dtype).removeprefix("torch.") for weight in weights)
    return dtypes.most_common(1)[0][0] if dtypes else "float32"


def sections_to_json(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings and states of a checkpoint as JSON values, and the names of those that are none."""
    sections: dict[str, Any] = {}
    dropped = []
    for name, section in checkpoint.items():
        if name in {"model", CARRIED_HEADER}:
            continue
        try:
            sections[name] = to_json(section)
        except _NotJsonError:
            dropped.append(name)
    return sections, tuple(dropped)


class _NotJsonError(Exception):
    """An object that is no setting: a tensor, or one of a foreign class."""


def to_json(value: object) -> Any:
    """A JSON value that `from_json` turns into an equal object."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [to_json(entry) for entry in value]
        case tuple():
            return {"!tuple": [to_json(entry) for entry in value]}
        case argparse.Namespace():
            return {"!namespace": to_json(vars(value))}
        case Mapping() if all(isinstance(key, str) and not key.startswith("!") for key in value):
            return {key: to_json(entry) for key, entry in value.items()}
        case Mapping():
            return {"!dict": [[to_json(key), to_json(entry)] for key, entry in value.items()]}
        case _:
            raise _NotJsonError


def from_json(value: Any) -> Any:
    """The object that `to_json` made this value of."""
    match value:
        case list():
            return [from_json(entry) for entry in value]
        case {"!tuple": list(entries)}:
            return tuple(from_json(entry) for entry in entries)
        case {"!namespace": dict(attributes)}:
            return argparse.Namespace(**from_json(attributes))
        case {"!dict": list(pairs)}:
            return dict(from_json(pair) for pair in pairs)
        case dict():
            return {key: from_json(entry) for key, entry in value.items()}
        case _:
            return value
