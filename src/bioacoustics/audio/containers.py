"""Containers: audio files opened by libsndfile or FFmpeg, and why one cannot be opened."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float

_HEAD_BYTES = 4096
_TEXT_BYTES = 64  # what is looked at to know a text
_ASF = bytes.fromhex("3026b2758e66cf11")  # the container of WMA
_LIBSNDFILE_MAGIC = (b"RIFF", b"RF64", b"riff", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b".snd")
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n\f")


class UnreadableAudioError(ValueError):
    """A file that cannot be used; `reason` says why in plain words."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


def printable(path: Path) -> str:
    r"""The path with forward slashes, in which bytes that are no Unicode are written like `\udcf3`."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode("utf-8")


def open_sound_file(path: Path) -> soundfile.SoundFile:
    """Open a file with libsndfile.

    Raises:
        UnreadableAudioError: it is not there, or libsndfile does not know or understand it.
    """
    # A lock in soundfile lets the whole process open one file at a time. Reading the head first brings the
    # file near, so that threads wait for slow disks together and not in line.
    head = _head(path)
    try:
        # Windows wants Unicode; elsewhere names are bytes, and old memory cards hold some that are not.
        return soundfile.SoundFile(str(path) if sys.platform == "win32" else os.fsencode(path))
    except soundfile.LibsndfileError as error:
        raise UnreadableAudioError(path, _why_unknown(head, error)) from error


def fill(file: soundfile.SoundFile, frames: Float[np.ndarray, "samples channels"]) -> tuple[int, bool]:
    """Read into `frames`; returns how many samples came and whether the decoder can go on from there.

    The number is smaller than asked for where the file ends or is damaged.
    """
    frames.fill(np.nan)  # decoders write numbers only, so what stays NaN after an error was not decoded
    try:
        return len(file.read(out=frames)), True
    except soundfile.LibsndfileError:
        is_missing = np.isnan(frames[:, 0])
        return int(is_missing.argmax()) if is_missing.any() else len(frames), False


def is_for_av(path: Path) -> bool:
    """Whether FFmpeg is the one to decode this file: MP4 (AAC) and ASF (WMA), whatever the extension."""
    try:
        head = _head(path)
    except UnreadableAudioError:
        return False
    return head[4:8] == b"ftyp" or head.startswith(_ASF)


@contextmanager
def open_with_av(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file with FFmpeg; gives PyAV's container and its first audio stream.

    Raises:
        UnreadableAudioError: PyAV is not installed, or FFmpeg finds no sound in the file.
    """
    try:
        import av
    except ImportError as error:
        reason = "AAC and WMA sound needs one more package: pip install 'bioacoustics[av]'"
        raise UnreadableAudioError(path, reason) from error
    try:
        # An open file, not a name: FFmpeg wants names in Unicode.
        with path.open("rb") as file, av.open(file) as container:
            if not container.streams.audio:
                raise UnreadableAudioError(path, "it has no sound track")
            yield container, container.streams.audio[0]
    except (av.FFmpegError, OSError) as error:
        raise UnreadableAudioError(path, f"FFmpeg cannot decode it: {error.strerror}") from error


def _why_unknown(head: bytes, error: soundfile.LibsndfileError) -> str:
    """Say in plain words why libsndfile did not open a file that starts with `head`."""
    if not head:
        return "it is empty (0 bytes)"
    if head.startswith(_LIBSNDFILE_MAGIC):
        return f"its header is damaged or cut off ({error.error_string.rstrip('.')})"
    if all(byte in _TEXT for byte in head[:_TEXT_BYTES]):
        return "it is a text file, not sound"
    return "no decoder knows what it is; wav, flac, ogg, opus, mp3, aiff, m4a and wma can be read"


def _head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        UnreadableAudioError: the file is not there or may not be opened.
    """
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        reason = "it is a link that leads nowhere" if path.is_symlink() else "there is no such file"
        raise UnreadableAudioError(path, reason) from error
    except OSError as error:
        raise UnreadableAudioError(path, f"it cannot be opened: {error.strerror}") from error
