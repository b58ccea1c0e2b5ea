"""Choice: which recordings a user means by a file, a folder, a glob or a list."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from bioacoustics.audio.recordings import find_audio_files
from bioacoustics.audio.search import AUDIO_SUFFIXES
from bioacoustics.data.spreadsheets import read_table

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
FILE_COLUMNS = ("filename", "file", "path", "begin path", "begin file")
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Choice:
    """The files, named relative to `root`; without `paths` all below `root`, or `root` itself, is meant."""

    root: Path
    paths: tuple[Path, ...] | None = None


def choose(given: Path) -> Choice:
    """Say what `given` means.

    A folder is searched with its sub-folders, and a file is itself. A name with `*`, `?` or `[]` that is no
    file is a pattern, in which `**` stands for any folders. A `.csv`, `.tsv` or `.txt` file lists recordings
    in its column filename, file or path, relative to the list's own folder or absolute.

    Raises:
        FileNotFoundError: Nothing fits.
        ValueError: The list has no such column, or no row.
    """
    if given.is_dir() or (given.is_file() and given.suffix.lower() not in LIST_SUFFIXES):
        return Choice(given)
    if given.is_file():
        return _listed(given)
    if _MAGIC & set(str(given)):
        return _matched(given)
    raise FileNotFoundError(
        f"{given}: there is no such file or folder; give a recording, a folder of recordings, "
        "a pattern in quotes like 'data/**/*.wav', or a .csv list with a column filename"
    )


def _matched(pattern: Path) -> Choice:
    parts = pattern.parts
    first_magic = next(i for i, part in enumerate(parts) if _MAGIC & set(part))
    root = Path(*parts[:first_magic])
    found = {
        path
        for name in glob.glob(str(pattern), recursive=True)  # noqa: PTH207 -- pathlib's finds no absolute ones
        for path in find_audio_files(Path(name))
        if path.suffix.lower() in AUDIO_SUFFIXES
    }
    if not found:
        raise FileNotFoundError(f"{pattern}: no file fits this pattern; ** stands for any sub-folders")
    return Choice(root, tuple(sorted(found)))


def _listed(path: Path) -> Choice:
    table = read_table(path)
    column = next((name for name in FILE_COLUMNS if name in table.columns), None)
    if column is None:
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(table.columns)}, "
            "but one must be filename, file or path"
        )
    names = dict.fromkeys(row.cells[column] for row in table.rows if row.cells[column])
    if not names:
        raise ValueError(f"{path}: its column {column} names no file")
    paths = tuple(sorted(path.parent / name.replace("\\", os.sep) for name in names))
    root = _common_folder(path.parent, paths)
    return Choice(root, paths if root == path.parent else tuple(path.absolute() for path in paths))


def _common_folder(folder: Path, paths: tuple[Path, ...]) -> Path:
    """The folder that names are told from: the list's own where it holds all, else the deepest that does."""
    if all(path.is_relative_to(folder) for path in paths):
        return folder
    try:
        return Path(os.path.commonpath([folder.absolute(), *(path.absolute() for path in paths)]))
    except ValueError as error:
        raise ValueError(
            f"the listed files lie on several drives ({error}): make one list for each drive"
        ) from error
