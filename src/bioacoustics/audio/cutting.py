"""Cutting: a stretch of a recording as a file of its own, at its native rate and with all its channels."""

from pathlib import Path
from typing import Literal

import soundfile

from bioacoustics.audio.containers import open_sound_file
from bioacoustics.audio.decoding import decoder_of
from bioacoustics.audio.recordings import Recording, UnreadableAudioError

CutFormat = Literal["wav", "flac"]
_LOSSY = frozenset({"MP3", "OGG", "OPUS", "AV"})


def cut_to_file(
    recording: Recording, start_s: float, end_s: float, path: Path, *, slowdown: float = 1.0
) -> None:
    """Write what lies between two moments, as far as there is any, to a .wav or .flac file.

    With `slowdown` the file plays so many times slower and lower: the same samples under a lower rate.

    Samples keep their width where the format has it: a flac of floating-point sound has 24 bits.

    Raises:
        UnreadableAudioError: Nothing can be decoded there.
    """
    first = max(0, round(start_s * recording.sample_rate_hz))
    last = min(recording.num_samples, round(end_s * recording.sample_rate_hz))
    with decoder_of(recording) as decoder:
        decoder.skip(first)
        stretch = decoder.read(max(0, last - first))
    if not stretch.is_decoded.any():
        reason = f"no sound can be decoded from {start_s:.2f} to {end_s:.2f} s"
        raise UnreadableAudioError(recording.path, reason)
    kind = path.suffix.removeprefix(".").upper()
    path.parent.mkdir(parents=True, exist_ok=True)
    rate_hz = round(recording.sample_rate_hz / slowdown)
    soundfile.write(path, stretch.frames, rate_hz, format=kind, subtype=_subtype(recording, kind))


def _subtype(recording: Recording, kind: str) -> str:
    if recording.container in _LOSSY:
        return "PCM_16"
    with open_sound_file(recording.path) as file:
        native = str(file.subtype)
    return native if soundfile.check_format(kind, native) else "PCM_24"
