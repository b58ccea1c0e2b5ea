"""Search: the audio files below a folder, each once, whatever links lead to it."""

# Strings are quick to make by the 100,000, and os.path answers no where pathlib raises (no permission):
# ruff: noqa: PTH110, PTH112, PTH113, PTH118, PTH122, PTH123
import os
from pathlib import Path

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf"}
    | {".w64", ".rf64", ".m4a", ".wma"}
)
_MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"FORM", b"caff", b".snd")


class Search:
    """The files found below `root`: `names` are relative paths with forward slashes, sorted.

    `locked` holds (relative path, reason) of each folder that could not be looked into. Hidden files and
    folders are passed over. Real folders are walked before links are followed, so a file is named by its own
    path where that lies below `root`; and each is entered once, so circles of links end.
    """

    def __init__(self, root: Path) -> None:
        self.locked: list[tuple[str, str]] = []
        self._root = os.fspath(root)
        self._name_of_real_file: dict[str, str] = {}
        self._entered: set[str] = set()
        self._links: list[str] = []
        self._walk("")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                self._follow(name)

    @property
    def names(self) -> list[str]:
        """Where each file lies below `root`."""
        return sorted(self._name_of_real_file.values())

    def _walk(self, top: str) -> None:
        """Take in the plain files below a folder, and remember the links for later."""
        folders = [top]
        while folders:
            folder = folders.pop()
            real_folder = os.path.realpath(self._path(folder))
            if real_folder in self._entered:
                continue
            self._entered.add(real_folder)
            for entry in self._entries(folder):
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_symlink():
                    self._links.append(name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif entry.is_file(follow_symlinks=False) and _is_audio(entry.path):
                    self._name_of_real_file.setdefault(os.path.join(real_folder, entry.name), name)

    def _follow(self, name: str) -> None:
        path = self._path(name)
        if os.path.isdir(path):
            self._walk(name)
        # A link to nowhere is kept, so that it is reported; one to a device or pipe would block its reader.
        elif (os.path.isfile(path) or not os.path.exists(path)) and _is_audio(path):
            self._name_of_real_file.setdefault(os.path.realpath(path), name)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """What lies in a folder, hidden things aside (macOS puts a `._x.wav` beside each `x.wav`)."""
        try:
            with os.scandir(self._path(folder)) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            self.locked.append((folder, f"the folder cannot be opened: {error.strerror}"))
            return []

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name)


def _is_audio(path: str) -> bool:
    suffix = os.path.splitext(path)[1]
    if suffix:
        return suffix.lower() in AUDIO_SUFFIXES
    try:
        with open(path, "rb") as file:
            return file.read(4).startswith(_MAGIC)
    except OSError:
        return False
