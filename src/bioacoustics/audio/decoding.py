"""Decoding: the samples of a recording at its native rate, in order, with gaps where the file is damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import soundfile
from jaxtyping import Bool, Float

from bioacoustics.audio.containers import fill, open_sound_file, open_with_av
from bioacoustics.audio.recordings import Recording

_BLOCK_SAMPLES = 65536
_RUN_UP_SAMPLES = {
    "OGG": 8192,
    "OPUS": 8192,
}  # a Vorbis block overlaps the one before, which a seek leaves out
_FIRST_JUMP_S = 0.02  # over damage, before the next try
_GAP_GROWTH = 0.1  # later jumps, as a share of the gap so far: a missing hour must not take 100,000 tries
_CODEC_DELAY_S = 0.1  # AAC and WMA may end this much before their header says, without any damage


@dataclass(frozen=True, slots=True)
class Stretch:
    """Decoded samples; where nothing could be decoded they are zero and `is_decoded` is false."""

    frames: Float[np.ndarray, "samples channels"]
    is_decoded: Bool[np.ndarray, " samples"]


@runtime_checkable  # so that the tests can check it
class Decoder(Protocol):
    """Goes through a recording once, from its start."""

    def read(self, num_samples: int) -> Stretch:
        """The next samples: always as many as asked for, however damaged the file is."""
        ...

    def skip(self, num_samples: int) -> None:
        """Pass over samples, in constant memory."""
        ...


@contextmanager
def decoder_of(recording: Recording) -> Iterator[Decoder]:
    """Open a recording for decoding; each call opens the file anew, so threads do not meet.

    Raises:
        UnreadableAudioError: the file cannot be opened (any more).
    """
    if recording.container == "AV":
        with open_with_av(recording.path) as (container, stream):
            yield _ForwardDecoder(_blocks_of_av(recording, container, stream), recording.num_channels)
    elif recording.container == "MP3":
        # libsndfile's seeks in MP3 of variable bit rate miss by many samples, so we count from the start.
        with open_sound_file(recording.path) as file:
            yield _ForwardDecoder(_blocks_of(file), recording.num_channels)
    else:
        decoder = _SeekingDecoder(recording)
        try:
            yield decoder
        finally:
            decoder.close()


class _ForwardDecoder:
    """Takes the samples from an iterator of blocks, the only way to be exact where a format seeks badly."""

    def __init__(self, blocks: Iterator[Float[np.ndarray, "_ channels"]], num_channels: int) -> None:
        self._blocks = blocks
        self._rest: Float[np.ndarray, "_ channels"] = np.empty((0, num_channels), np.float32)

    def read(self, num_samples: int) -> Stretch:
        frames = np.zeros((num_samples, self._rest.shape[1]), np.float32)
        is_decoded = np.zeros(num_samples, bool)
        done = 0
        while done < num_samples and len(piece := self._next(num_samples - done)):
            frames[done : done + len(piece)] = piece
            done += len(piece)
        is_decoded[:done] = True
        return Stretch(frames, is_decoded)

    def skip(self, num_samples: int) -> None:
        while num_samples and len(piece := self._next(num_samples)):
            num_samples -= len(piece)

    def _next(self, num_samples: int) -> Float[np.ndarray, "_ channels"]:
        """Up to `num_samples` more; none once the sound has ended."""
        if not len(self._rest):
            self._rest = next(self._blocks, self._rest)
        piece, self._rest = self._rest[:num_samples], self._rest[num_samples:]
        return piece


class _SeekingDecoder:
    """Seeks, which also leads past damage: behind a gap the samples keep their place in time."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._file: soundfile.SoundFile | None = open_sound_file(recording.path)
        self._file_position = 0
        self._position = 0  # of the sample that comes next

    def read(self, num_samples: int) -> Stretch:
        frames = np.empty((num_samples, self._recording.num_channels), np.float32)
        is_decoded = np.zeros(num_samples, bool)
        first_jump = max(1, round(_FIRST_JUMP_S * self._recording.sample_rate_hz))
        done, gap = 0, 0
        while done < num_samples:
            num_good, can_go_on = self._fill(frames[done:], self._position + done)
            is_decoded[done : done + num_good] = True
            done += num_good
            if can_go_on:  # all was read, or the file has come to its proper end
                break
            gap = 0 if num_good else gap
            jump = max(first_jump, int(_GAP_GROWTH * gap))
            gap += jump
            done += jump
        self._position += num_samples
        frames[~is_decoded] = 0
        return Stretch(frames, is_decoded)

    def skip(self, num_samples: int) -> None:
        self._position += num_samples

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _fill(self, frames: Float[np.ndarray, "_ channels"], position: int) -> tuple[int, bool]:
        file = self._placed_file(position)
        if file is None:
            return 0, False
        num_samples, can_go_on = fill(file, frames)
        self._file_position += num_samples
        if not can_go_on:
            self.close()  # after an error libsndfile gives nothing more from this handle
        return num_samples, can_go_on

    def _placed_file(self, position: int) -> soundfile.SoundFile | None:
        """The file standing at `position`, or None if no way leads there."""
        if self._file is None:
            self._file = open_sound_file(self._recording.path)
            self._file_position = 0
        try:
            if self._file_position != position:
                run_up = min(position, _RUN_UP_SAMPLES.get(self._recording.container, 0))
                self._file.seek(position - run_up)
                self._file.read(run_up, dtype="float32")
        except soundfile.LibsndfileError:
            self.close()
        self._file_position = position
        return self._file


def _blocks_of(file: soundfile.SoundFile) -> Iterator[Float[np.ndarray, "_ channels"]]:
    # One block for all: whoever takes it has copied it before the next is asked for.
    frames = np.empty((_BLOCK_SAMPLES, file.channels), np.float32)
    can_go_on = True
    while can_go_on:
        num_samples, can_go_on = fill(file, frames)
        can_go_on = can_go_on and num_samples == len(frames)
        yield frames[:num_samples]


def _blocks_of_av(
    recording: Recording, container: Any, stream: Any
) -> Iterator[Float[np.ndarray, "_ channels"]]:
    import av

    to_float = av.AudioResampler(format="fltp")
    num_samples = 0
    try:
        for coded_frame in container.decode(stream):
            for frame in to_float.resample(coded_frame):
                num_samples += frame.samples
                yield np.ascontiguousarray(frame.to_ndarray().T)
    except av.FFmpegError:
        return  # a damaged file: what follows is missing
    num_missing = recording.num_samples - num_samples
    if 0 < num_missing <= _CODEC_DELAY_S * recording.sample_rate_hz:
        yield np.zeros((num_missing, recording.num_channels), np.float32)
