"""Reading: decode one window of one recording to mono float32 at the wanted rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import soxr
from jaxtyping import Float

from bioacoustics.audio.band import WHOLE, Band
from bioacoustics.audio.decoding import Decoder, Stretch, decoder_of
from bioacoustics.audio.recordings import Recording, UnreadableAudioError
from bioacoustics.audio.segments import Segment, SegmentConfig, num_segments, segment_at

__all__ = [
    "Channel",
    "Finding",
    "Reading",
    "UnreadableAudioError",
    "read_recording",
    "read_segment",
    "stream_segments",
]

# Counted from 0; "mix" is the mean of all channels, "loudest" in each window the one with the most power.
Channel = int | Literal["mix", "loudest"]

_CONTEXT_PERIODS = 400  # of the lower rate: beyond it, soxr's HQ filter has died away (measured)
_SHORT_S = 0.1
_DC_LEVEL = 0.02  # of full scale
_SILENT_RANGE = 1e-4  # of full scale, peak to peak: three steps of 16 bits
_CLIPPED_LEVELS = (0.999, 1.001)  # of full scale; floating-point files that go beyond have lost nothing
_CLIPPED_SHARE = 1e-4
_ANTIPHASE_RATIO = 1e-3  # power of the mix over the mean power of the channels: -30 dB


class Finding(StrEnum):
    """What a reader should know about a window."""

    NAN = "nan"  # some samples were no numbers, or infinite; they were set to zero
    DC = "dc"  # the mean is far from zero
    SILENT = "silent"  # digital silence, or all the sound lies above what the wanted rate can hold
    CLIPPED = "clipped"  # the level went over what the recorder could hold
    ANTIPHASE = "antiphase"  # the channels cancel each other, so that one of them was read instead of the mix
    PARTIAL = "partial"  # the file is damaged, or ends before its header says
    SHORT = "short"  # less than 0.1 s of sound, too little to judge its level


@dataclass(frozen=True, slots=True)
class Reading:
    """A window's sound, mono at the wanted rate and not padded: only what exists; and what was noticed."""

    samples: Float[np.ndarray, " samples"]
    findings: frozenset[Finding]


def read_segment(segment: Segment, sample_rate_hz: int = 16000, channel: Channel = "mix") -> Reading:
    """Read a window: what comes is the same slice that resampling the whole recording would give.

    Where the format seeks badly (MP3, AAC, WMA) everything before the window is decoded too, in constant
    memory: to read many windows of such a file use `stream_segments`. Seeks are exact to the sample; in Opus
    to the codec's own error (measured: up to 0.3 % of full scale, for a fraction of a second).

    "mix" is the mean of the channels, taken before resampling. Where the channels cancel each other, the mean
    would be silence: then the first channel that sounds is read and the finding is ANTIPHASE.

    Raises:
        UnreadableAudioError: the file cannot be opened, has no such channel, or nothing in the window can be
            decoded.
    """
    _check_channel(segment.recording, channel)
    span = _span_of(segment, sample_rate_hz)
    with decoder_of(segment.recording) as decoder:
        decoder.skip(span.start)
        reading = _reading_of(decoder.read(span.stop - span.start), span, channel)
    if not len(reading.samples):
        raise _nothing_decoded(segment.recording, segment.start_s, segment.end_s)
    return reading


def read_recording(recording: Recording, sample_rate_hz: int = 16000, channel: Channel = "mix") -> Reading:
    """Read a whole recording into memory; otherwise like `read_segment`."""
    return read_segment(Segment(recording, 0.0, recording.duration_s), sample_rate_hz, channel)


def stream_segments(
    recording: Recording,
    config: SegmentConfig,
    sample_rate_hz: int = 16000,
    channel: Channel = "mix",
    *,
    first: int = 0,
    band: Band = WHOLE,
) -> Iterator[tuple[Segment, Reading]]:
    """Read the windows of a recording in one pass, in constant memory; each equals `read_segment`'s.

    The pass begins with window number `first`. Windows in which nothing can be decoded are left out. What is
    noticed about a window is noticed before `band` limits it, except that nothing may be left to hear.

    Raises:
        UnreadableAudioError: the file cannot be opened, has no such channel, or nothing in it can be decoded.
    """
    _check_channel(recording, channel)
    num_windows = num_segments(recording, config)
    num_read = 0
    with decoder_of(recording) as decoder:
        belt = _Belt(decoder, recording.num_channels)
        # A seek in Opus is not exact, so there we listen from the start: a later pass gives the same samples.
        for i in range(0 if recording.container == "OPUS" else first, num_windows):
            segment = segment_at(recording, config, i)
            span = _span_of(segment, sample_rate_hz)
            reading = _reading_of(belt.stretch(span.start, span.stop), span, channel)
            if len(reading.samples):
                num_read += 1
                if i >= first:
                    yield segment, _limited(reading, band, sample_rate_hz)
    if num_windows and not num_read and not first:
        raise _nothing_decoded(recording, 0.0, recording.duration_s)


@dataclass(frozen=True, slots=True)
class _Span:
    """Which native samples a window needs, and which part of them, once resampled, is the window."""

    recording: Recording
    sample_rate_hz: int
    start: int  # with context on both sides
    stop: int
    core: slice  # the window itself, counted from `start` in native samples
    wanted: slice  # the window itself, counted in samples at the wanted rate


def _span_of(segment: Segment, sample_rate_hz: int) -> _Span:
    """Plan the reading of a window.

    The context starts on a sample that falls on both time grids, the native and the wanted one: from there
    the resampler takes the same phases as in a run over the whole recording.
    """
    native_hz, num_samples = segment.recording.sample_rate_hz, segment.recording.num_samples
    divisor = math.gcd(native_hz, sample_rate_hz)
    native_step, wanted_step = native_hz // divisor, sample_rate_hz // divisor
    num_wanted = (2 * num_samples * sample_rate_hz + native_hz) // (2 * native_hz)  # all there are, rounded
    first = round(segment.start_s * sample_rate_hz)
    last = max(first, min(first + round(segment.duration_s * sample_rate_hz), num_wanted))
    context = math.ceil(_CONTEXT_PERIODS * sample_rate_hz / min(native_hz, sample_rate_hz))
    if native_hz == sample_rate_hz:
        context = 0
    num_steps = min(max(0, first - context), num_wanted) // wanted_step
    start = num_steps * native_step
    return _Span(
        recording=segment.recording,
        sample_rate_hz=sample_rate_hz,
        start=start,
        stop=min(num_samples, -(-(last + context) * native_hz // sample_rate_hz)),
        core=slice(
            first * native_hz // sample_rate_hz - start, -(-last * native_hz // sample_rate_hz) - start
        ),
        wanted=slice(first - num_steps * wanted_step, last - num_steps * wanted_step),
    )


class _Belt:
    """Gives stretches of a recording, each starting where the one before did or later."""

    def __init__(self, decoder: Decoder, num_channels: int) -> None:
        self._decoder = decoder
        self._start = 0
        self._held = Stretch(np.empty((0, num_channels), np.float32), np.empty(0, bool))

    def stretch(self, start: int, stop: int) -> Stretch:
        num_held = len(self._held.frames)
        num_dropped = min(start - self._start, num_held)
        self._decoder.skip(start - self._start - num_dropped)
        fresh = self._decoder.read(max(0, stop - max(start, self._start + num_held)))
        self._held = Stretch(
            np.concatenate([self._held.frames[num_dropped:], fresh.frames]),
            np.concatenate([self._held.is_decoded[num_dropped:], fresh.is_decoded]),
        )
        self._start = start
        return Stretch(self._held.frames[: stop - start], self._held.is_decoded[: stop - start])


def _reading_of(stretch: Stretch, span: _Span, channel: Channel) -> Reading:
    """Turn decoded samples into what the user gets."""
    findings = set()
    is_last = span.start + span.core.stop >= span.recording.num_samples
    if not stretch.is_decoded[span.core].all() or (is_last and span.recording.is_truncated):
        findings.add(Finding.PARTIAL)
    frames = stretch.frames[: _end_of_sound(stretch)]
    if not len(frames[span.core]):
        return Reading(np.empty(0, np.float32), frozenset(findings))
    is_number = np.isfinite(frames)
    if not is_number.all():
        if not is_number[span.core].all():
            findings.add(Finding.NAN)
        frames = np.where(is_number, frames, np.float32(0))
    chosen = _chosen(frames, span.core, channel)
    mono = chosen.mean(axis=1)
    if chosen.shape[1] > 1 and _cancels(chosen[span.core], mono[span.core]):
        findings.add(Finding.ANTIPHASE)
        mono = _first_that_sounds(chosen, span.core)
    samples = _resampled(mono, span)
    if len(mono[span.core]) < _SHORT_S * span.recording.sample_rate_hz:
        findings.add(Finding.SHORT)
    else:
        findings |= _level_findings(chosen[span.core], mono[span.core], samples)
    return Reading(samples, frozenset(findings))


def _limited(reading: Reading, band: Band, sample_rate_hz: int) -> Reading:
    if band == WHOLE:
        return reading
    samples = band.limited(reading.samples, sample_rate_hz)
    findings = reading.findings
    if Finding.SHORT not in findings and np.ptp(samples) < _SILENT_RANGE:
        findings |= {Finding.SILENT}
    return Reading(samples, findings)


def _chosen(
    frames: Float[np.ndarray, "native channels"], core: slice, channel: Channel
) -> Float[np.ndarray, "native _"]:
    """The channels that are mixed: all, the one asked for, or the one with the most power in the window."""
    if channel == "mix":
        return frames
    if channel == "loudest":
        channel = int(frames[core].var(axis=0, dtype=np.float64).argmax())
    return frames[:, channel : channel + 1]


def _resampled(mono: Float[np.ndarray, " _"], span: _Span) -> Float[np.ndarray, " samples"]:
    if span.recording.sample_rate_hz != span.sample_rate_hz:
        mono = soxr.resample(mono, span.recording.sample_rate_hz, span.sample_rate_hz, quality="HQ")
    return mono[span.wanted].copy()  # without the context, which a view would keep in memory


def _end_of_sound(stretch: Stretch) -> int:
    """Behind the last sample that was decoded."""
    if not stretch.is_decoded.any():
        return 0
    return len(stretch.is_decoded) - int(stretch.is_decoded[::-1].argmax())


def _level_findings(
    chosen: Float[np.ndarray, "native channels"],
    mono: Float[np.ndarray, " native"],
    resampled: Float[np.ndarray, " samples"],
) -> set[Finding]:
    levels = np.abs(chosen)
    lowest, highest = _CLIPPED_LEVELS
    is_clipped = lowest <= levels.max() <= highest and (levels >= lowest).mean() > _CLIPPED_SHARE
    noticed = {
        Finding.DC: abs(mono.mean(dtype=np.float64)) > _DC_LEVEL,
        Finding.SILENT: resampled.size > 0 and np.ptp(resampled) < _SILENT_RANGE,
        Finding.CLIPPED: is_clipped,
    }
    return {finding for finding, is_so in noticed.items() if is_so}


def _cancels(chosen: Float[np.ndarray, "samples channels"], mono: Float[np.ndarray, " samples"]) -> bool:
    """Whether the mix is as good as silent though the channels are not."""
    mean_power = float(chosen.var(axis=0, dtype=np.float64).mean())
    is_silent = mean_power < _SILENT_RANGE**2
    return not is_silent and float(mono.var(dtype=np.float64)) < _ANTIPHASE_RATIO * mean_power


def _first_that_sounds(
    chosen: Float[np.ndarray, "samples channels"], core: slice
) -> Float[np.ndarray, " samples"]:
    """The first channel within 20 dB of the strongest: an unconnected one would be silence again."""
    powers = chosen[core].var(axis=0, dtype=np.float64)
    return np.ascontiguousarray(chosen[:, int((powers >= 0.01 * powers.max()).argmax())])


def _check_channel(recording: Recording, channel: Channel) -> None:
    if isinstance(channel, int) and not 0 <= channel < recording.num_channels:
        reason = f"there is no channel {channel}: it has {recording.num_channels}, counted from 0"
        raise UnreadableAudioError(recording.path, reason)


def _nothing_decoded(recording: Recording, start_s: float, end_s: float) -> UnreadableAudioError:
    reason = (
        f"no sound can be decoded from {start_s:.2f} to {end_s:.2f} s: it is damaged there or ends before"
    )
    return UnreadableAudioError(recording.path, reason)
