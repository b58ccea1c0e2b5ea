"""Sources: the recordings of a run, with what tells them apart: their content, place and time."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from bioacoustics.audio.fingerprint import audio_fingerprint
from bioacoustics.audio.reading import Channel
from bioacoustics.audio.recordings import Recording, UnreadableFile
from bioacoustics.data.deployments import Deployments, Placement, place


@dataclass(frozen=True, slots=True)
class Source:
    """A recording with the fingerprint of its content, its site and its time."""

    recording: Recording
    audio: str
    placement: Placement

    @property
    def id(self) -> str:
        """Of name and content: two cards may hold files of one name, and a file may be replaced."""
        return hashlib.sha256(f"{self.recording.relative_path}\0{self.audio}".encode()).hexdigest()[:16]


Sources = Mapping[Recording, Source]


def sources_of(
    recordings: Sequence[Recording], deployments: Deployments
) -> tuple[dict[Recording, Source], list[UnreadableFile]]:
    """Look at each recording; those that can no longer be opened come second."""
    with ThreadPoolExecutor(thread_name_prefix="source") as pool:
        looked_at = list(pool.map(partial(_look_at, deployments=deployments), recordings))
    found = {source.recording: source for source in looked_at if isinstance(source, Source)}
    return found, [problem for problem in looked_at if isinstance(problem, UnreadableFile)]


def _look_at(recording: Recording, deployments: Deployments) -> Source | UnreadableFile:
    try:
        return Source(recording, audio_fingerprint(recording.path), place(recording, deployments))
    except OSError as error:
        reason = f"it cannot be opened any more: {error.strerror}"
        return UnreadableFile(path=recording.path, relative_path=recording.relative_path, reason=reason)


def digest_of(sources: Sources) -> str:
    """One text for all recordings: equal where names and contents are."""
    ids = sorted(source.id for source in sources.values())
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]


def channel_name(channel: Channel) -> str:
    """The channel as tables write it."""
    return str(channel)
