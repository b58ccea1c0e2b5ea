"""Recordings: the audio files below a folder and what their headers say."""

import math
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from bioacoustics.audio.containers import (
    UnreadableAudioError,
    fill,
    is_for_av,
    open_sound_file,
    open_with_av,
    printable,
)
from bioacoustics.audio.mpeg import has_untold_length
from bioacoustics.audio.search import Search

__all__ = [
    "Recording",
    "Scan",
    "UnreadableAudioError",
    "UnreadableFile",
    "find_audio_files",
    "read_header",
    "scan_recordings",
]

_FILES_PER_TASK = 64
_BLOCK_SAMPLES = 65536
_UNKNOWN_LENGTH = 2**62  # libsndfile says 2**63 - 1
_PLACEHOLDER_BYTES = 0x7FFF_0000  # programs that write to a pipe promise this much and more
_HARMLESS_SHORTAGE_S = 0.01
_UNTOLD_LENGTH = (
    "its bit rate varies and it does not tell its length, so that its end would be lost; "
    "mend it with: ffmpeg -i broken.mp3 -c copy mended.mp3"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the header of an audio file says.

    `relative_path` runs from the searched folder, with forward slashes: the same on every machine, and always
    fit to be printed and saved; open files by `path`. `is_truncated` says that the file is shorter than its
    own header promises; `num_samples` counts what is there.
    """

    path: Path
    relative_path: str
    sample_rate_hz: int
    num_channels: int
    num_samples: int  # per channel, at the native rate
    container: str  # "WAV", "FLAC", "OGG", "OPUS", "MP3", ... or "AV": decoded by FFmpeg
    is_truncated: bool = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sample_rate_hz

    @property
    def seeks_well(self) -> bool:
        """Whether reading a window from the middle is cheap and exact; where not, rather stream it all."""
        return self.container not in {"MP3", "OPUS", "AV"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableFile:
    """A file or folder that cannot be used, and why, in plain words."""

    path: Path
    relative_path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What lies below a folder, sorted by relative path."""

    recordings: tuple[Recording, ...]
    unreadable: tuple[UnreadableFile, ...]
    elapsed_s: float

    @property
    def duration_s(self) -> float:
        """Length of all recordings together, in seconds."""
        return math.fsum(recording.duration_s for recording in self.recordings)


def find_audio_files(root: Path) -> list[Path]:
    """Find the audio files below a folder, sorted by relative path.

    Files count by their extension in any case, those without one by their first bytes; hidden files do not
    count. A file that several links lead to is found once, by its own path if that lies below `root`.
    `root` may also be one file, whatever its name. Folders that may not be entered are passed over here;
    `scan_recordings` lists them.

    Raises:
        FileNotFoundError: there is nothing at `root`.
    """
    if root.is_file():
        return [root]
    return [root / name for name in _searched(root).names]


def scan_recordings(
    root: Path,
    *,
    paths: Sequence[Path] | None = None,
    num_threads: int | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> Scan:
    """Read the headers of all audio files below a folder, in threads.

    Args:
        root: a folder, or one file.
        paths: only these files, which lie below `root`.
        num_threads: how many headers are read at once; None for a few more than there are processors.
        on_file: called from the calling thread now and then with (files done, files in all).

    Raises:
        FileNotFoundError: there is nothing at `root`.
    """
    started = time.perf_counter()
    unreadable: list[UnreadableFile] = []
    if paths is None and root.is_file():
        paths = [root]
    elif paths is None:
        search = _searched(root)
        paths = [root / name for name in search.names]
        unreadable = [_unreadable(root / name, root, reason) for name, reason in search.locked]
    recordings = []
    num_done = 0
    tasks = [paths[i : i + _FILES_PER_TASK] for i in range(0, len(paths), _FILES_PER_TASK)]
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="scan")
    try:
        for headers in pool.map(partial(_headers, root=root), tasks):
            recordings += [header for header in headers if isinstance(header, Recording)]
            unreadable += [header for header in headers if isinstance(header, UnreadableFile)]
            num_done += len(headers)
            if on_file is not None:
                on_file(num_done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted scan ends at once
    return Scan(
        recordings=tuple(recordings),
        unreadable=tuple(sorted(unreadable, key=lambda file: file.relative_path)),
        elapsed_s=time.perf_counter() - started,
    )


def read_header(path: Path, root: Path) -> Recording:
    """Read what a file's header says; `root` is the folder that the relative path starts from.

    Raises:
        UnreadableAudioError: no decoder opens the file, or it holds no samples.
    """
    try:
        recording = _sound_file_header(path, root)
    except UnreadableAudioError:
        if not is_for_av(path):
            raise
        recording = _av_header(path, root)
    if recording.num_samples == 0:
        raise UnreadableAudioError(
            path, "it holds no samples: the recorder stopped before it wrote any sound"
        )
    return recording


def _sound_file_header(path: Path, root: Path) -> Recording:
    with open_sound_file(path) as file:
        if file.format == "MP3" and has_untold_length(path):
            raise UnreadableAudioError(path, _UNTOLD_LENGTH)
        return Recording(
            path=path,
            relative_path=_relative_path(path, root),
            sample_rate_hz=file.samplerate,
            num_channels=file.channels,
            num_samples=_num_samples(file),
            container="OPUS" if file.subtype == "OPUS" else file.format,
            is_truncated=_is_truncated(file),
        )


def _num_samples(file: soundfile.SoundFile) -> int:
    """The header's number; counted by decoding in a FLAC that was written to a pipe and has none."""
    if file.frames < _UNKNOWN_LENGTH:
        return int(file.frames)
    block = np.empty((_BLOCK_SAMPLES, file.channels), np.float32)
    total = 0
    while True:
        num_samples, goes_on = fill(file, block)
        total += num_samples
        if num_samples < len(block) or not goes_on:
            return total


def _is_truncated(file: soundfile.SoundFile) -> bool:
    """Whether a WAV's data chunk is longer than the rest of the file; libsndfile's log tells."""
    match = re.search(r"^data : (\d+) \(should be (\d+)\)$", file.extra_info, re.MULTILINE)
    if match is None or file.frames == 0:
        return False
    num_promised, num_there = int(match[1]), int(match[2])
    num_missing_samples: float = (num_promised - num_there) * file.frames / num_there
    # Some recorders count a few bytes of header as sound.
    return num_promised < _PLACEHOLDER_BYTES and num_missing_samples > _HARMLESS_SHORTAGE_S * file.samplerate


def _av_header(path: Path, root: Path) -> Recording:
    with open_with_av(path) as (container, stream):
        if stream.duration is not None:
            duration_s = float(stream.duration * stream.time_base)
        else:
            duration_s = (container.duration or 0) / 1e6
        return Recording(
            path=path,
            relative_path=_relative_path(path, root),
            sample_rate_hz=stream.rate,
            num_channels=stream.channels,
            num_samples=round(duration_s * stream.rate),
            container="AV",
        )


def _headers(paths: Sequence[Path], root: Path) -> list[Recording | UnreadableFile]:
    return [_header(path, root) for path in paths]


def _header(path: Path, root: Path) -> Recording | UnreadableFile:
    try:
        return read_header(path, root)
    except UnreadableAudioError as error:
        return _unreadable(path, root, error.reason)


def _unreadable(path: Path, root: Path, reason: str) -> UnreadableFile:
    return UnreadableFile(path=path, relative_path=_relative_path(path, root), reason=reason)


def _relative_path(path: Path, root: Path) -> str:
    return path.name if path == root else printable(path.relative_to(root))


def _searched(root: Path) -> Search:
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such file or folder; give a folder of recordings")
    return Search(root)
