"""Unpickling checkpoints of other programs without importing or running anything that they name.

torch's weights-only unpickler does the work: it builds tensors and plain containers and looks nothing up by
name. What published checkpoints hold besides (fairseq's meters, numpy numbers, settings objects) is replaced
by stand-ins: classes made here, under the foreign name, that keep the data they are given. Any other name is
refused.
"""

import _compat_pickle
import argparse
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

# What torch itself builds when it loads weights only; it decides again, name by name, about "torch.".
_KNOWN_TO_TORCH = {
    "collections.Counter",
    "collections.OrderedDict",
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
}
# Packages whose objects occur in fairseq checkpoints, and the types that their settings refer to.
_STOOD_IN_PACKAGES = ("fairseq.", "omegaconf.", "numpy.")
_STOOD_IN_NAMES = {"typing.Any"} | {
    f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "object", "str", "tuple")
}
# A damaged file fails anywhere in the unpickler, so these all mean the same there.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,  # a place outside the file
    RuntimeError,
    TypeError,
    ValueError,
)
_PICKLES_BEFORE_OLD_STORAGES = 5  # magic number, protocol, system facts, the object, storage keys


class StandIn:
    """Takes the place of an object whose class belongs to another program: keeps data, does nothing."""

    arguments: tuple[object, ...]
    state: object

    def __new__(cls, *arguments: object) -> Any:
        """Make the object without calling anything that the checkpoint brings."""
        standing_in = object.__new__(cls)
        standing_in.arguments = arguments
        standing_in.state = None
        return standing_in

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class _NumpyScalar(StandIn):
    """Becomes the plain number that a pickled numpy scalar holds."""

    def __new__(cls, dtype: object, data: object = b"") -> Any:
        if not (isinstance(dtype, StandIn) and isinstance(data, bytes)):
            raise TypeError("a numpy scalar without its type or bytes")
        numpy_dtype = np.dtype(str(dtype.arguments[0]))
        if numpy_dtype.kind not in "biuf":
            raise ValueError(f"a numpy scalar of type {numpy_dtype}, expected a number")
        match dtype.state:
            case (_, ("<" | ">") as byte_order, *_):
                numpy_dtype = numpy_dtype.newbyteorder(byte_order)
        return np.frombuffer(data, numpy_dtype).item()


class _PlainDict(StandIn):
    """Becomes an empty dict, for the unpickler to fill."""

    def __new__(cls, *_: object) -> Any:
        return {}


_SPECIAL: dict[str, type[StandIn]] = {
    "numpy.core.multiarray.scalar": _NumpyScalar,
    "numpy._core.multiarray.scalar": _NumpyScalar,
    "collections.defaultdict": _PlainDict,
}


def load_pickled(path: Path) -> object:
    """Load what `torch.save` wrote, zip or older format, to the CPU; tensors may be mapped from the file.

    Raises:
        ValueError: if the file is damaged or of another kind, or names anything that is not allowed here.
    """
    is_zip = zipfile.is_zipfile(path)
    try:
        names = set(_globals_of_zip(path) if is_zip else _globals_of_old_format(path))
    except _DAMAGE as error:
        raise ValueError(f"not a checkpoint that torch can read, or damaged ({error})") from error
    refused = sorted(name for name in names if not (_is_known_to_torch(name) or _has_stand_in(name)))
    if refused:
        raise ValueError(
            f"refused, because loading it would have to run code: it names {', '.join(refused)}. "
            "Nothing was run. If you trust where the file comes from, let its author save the weights alone: "
            "a dictionary of tensors and settings"
        )
    inert: list[Callable[..., object]] = [_stand_in(name) for name in names if _has_stand_in(name)]
    try:
        with torch.serialization.safe_globals([argparse.Namespace, *inert]):
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=is_zip)
    except _DAMAGE as error:
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"cannot be loaded, perhaps damaged ({reason[-1] if reason else error!r})"
        ) from error


def plain(value: object) -> object:
    """Settings without their classes: omegaconf nodes and enum members become what they hold."""
    if isinstance(value, StandIn):
        held = _held_by(value)
        return value if held is value else plain(held)
    if isinstance(value, Mapping):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        entries = [plain(entry) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    return value


def _held_by(standing_in: StandIn) -> object:
    match standing_in:
        case StandIn(state={"_content": content}):  # omegaconf's dicts and lists
            return content
        case StandIn(state={"_val": value}):  # omegaconf's leaves
            return value
        case StandIn(state=None, arguments=(value,)):  # an enum's member
            return value
        case _:
            return standing_in


def _is_known_to_torch(name: str) -> bool:
    return name.startswith("torch.") or name in _KNOWN_TO_TORCH or name == "argparse.Namespace"


def _has_stand_in(name: str) -> bool:
    return name.startswith(_STOOD_IN_PACKAGES) or name in _STOOD_IN_NAMES or name in _SPECIAL


def _stand_in(name: str) -> type[StandIn]:
    module, _, short_name = name.rpartition(".")
    names = {"__module__": module, "__qualname__": short_name}  # by these torch knows what it replaces
    return type(short_name, (_SPECIAL.get(name, StandIn),), names)


def _globals_of_zip(path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        pickled = [entry for entry in archive.namelist() if entry.endswith("data.pkl")]
        if not pickled:
            raise ValueError("a zip archive without data.pkl")
        for entry in pickled:
            yield from _globals_of_pickle(archive.read(entry))


def _globals_of_old_format(path: Path) -> Iterator[str]:
    with path.open("rb") as stream:
        if stream.read(1) != pickle.PROTO:
            raise ValueError("neither a zip archive nor a pickle")
        stream.seek(0)
        for _ in range(_PICKLES_BEFORE_OLD_STORAGES):
            yield from _globals_of_pickle(stream)


def _globals_of_pickle(stream: bytes | IO[bytes]) -> Iterator[str]:
    """Names that a pickle would look up, found by reading its instructions, not by following them."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in {"GLOBAL", "INST"}:
            module, _, name = str(argument).partition(" ")
            yield _in_python_3(module, name)
        elif opcode.name in {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"}:
            raise ValueError("its pickle protocol is newer than the one torch.save uses")


def _in_python_3(module: str, name: str) -> str:
    """The same translation of Python 2 names as in torch's unpickler."""
    in_module = _compat_pickle.IMPORT_MAPPING.get(module, module)
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (in_module, name))
    return f"{module}.{name}"
