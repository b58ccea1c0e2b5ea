"""File names: finds the audio file that a person meant, whatever happened to its name on the way."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from bioacoustics.audio.recordings import find_audio_files
from bioacoustics.audio.search import AUDIO_SUFFIXES


@dataclass(frozen=True, slots=True)
class Match:
    """The file, or None; `remark` is empty where the name was exact, else what was wrong and what to do."""

    path: Path | None
    remark: str
    detail: str


class FileMatcher:
    """Look names up in one folder; the folder is listed only once some name is not exact."""

    def __init__(self, audio_dir: Path) -> None:
        self._audio_dir = audio_dir

    def find(self, filename: str) -> Match:
        """The one file that `filename` (relative to the folder, or absolute) can mean."""
        name = filename.replace("\\", "/")
        exact = self._audio_dir / filename
        if not exact.is_file():
            exact = self._audio_dir / name  # an absolute name stays as it is
        if exact.is_file():
            return Match(exact, "", "")
        for index, key in zip(self._indexes, _KEYS, strict=True):
            paths = index.get(key(name), [])
            if len(paths) == 1:
                found = paths[0].relative_to(self._audio_dir).as_posix()
                return Match(
                    paths[0],
                    "taken for the file that fits; write its exact name",
                    f"{filename!r} -> {found!r}",
                )
            if paths:
                found = ", ".join(path.relative_to(self._audio_dir).as_posix() for path in paths[:3])
                return Match(
                    None,
                    "several files fit; the row is skipped, write the name with its sub-folder and extension",
                    f"{filename!r} ({found})",
                )
        return Match(
            None,
            f"no such file in {self._audio_dir}; the row is skipped, copy the file there or correct the name",
            repr(filename),
        )

    @cached_property
    def _indexes(self) -> list[dict[str, list[Path]]]:
        indexes: list[dict[str, list[Path]]] = [{} for _ in _KEYS]
        for path in find_audio_files(self._audio_dir):
            relative = path.relative_to(self._audio_dir).as_posix()
            for index, key in zip(indexes, _KEYS, strict=True):
                index.setdefault(key(relative), []).append(path)
        return indexes


def plain(name: str) -> str:
    """The name in one Unicode form and lower case: macOS writes an accent as a letter of its own."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _without_suffix(name: str) -> str:
    """The bare name without an audio extension; other endings (`clip.2`) belong to the name."""
    path = PurePosixPath(plain(name))
    return path.stem if path.suffix in AUDIO_SUFFIXES else path.name


# From strict to loose: the same path, the same name in any sub-folder, the same name with any extension.
_KEYS: tuple[Callable[[str], str], ...] = (
    plain,
    lambda name: PurePosixPath(plain(name)).name,
    _without_suffix,
)
