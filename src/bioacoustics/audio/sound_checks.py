"""Sound checks: what a few short windows of a recording tell about microphone, level and spectrum."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from bioacoustics.audio.decoding import decoder_of
from bioacoustics.audio.recordings import Recording, UnreadableAudioError

NUM_BANDS = 256  # of equal width, from 0 to half of the sample rate
_FFT_SAMPLES = 2 * NUM_BANDS
_FLOOR_POWER = 1e-12  # -120 dB
_SILENT_RANGE = 1e-4  # of full scale, peak to peak
_FAINT_DB = -75.0  # below the noise of any working microphone and preamplifier that we have seen
_FULL_SCALE = (0.999, 1.001)  # floating-point files that go beyond have lost nothing
_CLIPPED_SHARE = 1e-4
_DC_LEVEL = 0.02
_SHORT_S = 0.1


class Fault(StrEnum):
    """What is wrong with the sound of a recording."""

    SILENT = "silent"  # digital silence on every channel: the microphone is dead or unplugged
    DEAD_CHANNEL = "dead_channel"  # on one of several channels
    FAINT = "faint"  # below -75 dB of full scale: a damaged or covered microphone, or far too little gain
    CLIPPED = "clipped"  # the gain was too high
    DC = "dc"  # a constant offset
    NAN = "nan"  # samples that are no numbers
    DAMAGED = "damaged"  # parts cannot be decoded, or the file ends before its header says
    SHORT = "short"  # less than 0.1 s of sound, too little to judge


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundCheck:
    """What was heard in a recording; levels are in dB of full scale, without the constant offset."""

    level_db: float  # root mean square over all channels and windows
    peak: float  # largest absolute sample, 1 is full scale
    dc: float  # mean of the samples, the farthest from zero of all channels
    clipped_share: float  # of the samples that lie at full scale, in the worst window
    power: Float[np.ndarray, " bands"]  # mean square in each band; their sum is the mean square of the sound
    faults: frozenset[Fault]


def check_sound(recording: Recording, *, num_windows: int = 3, window_s: float = 2.0) -> SoundCheck:
    """Listen to windows spread evenly over a recording, or to its beginning where the format seeks badly.

    Raises:
        UnreadableAudioError: Nothing of them can be decoded.
    """
    windows, is_damaged = _read(recording, num_windows, window_s)
    if not windows:
        raise UnreadableAudioError(recording.path, "no sound can be decoded where it was listened to")
    faults = {Fault.DAMAGED} if is_damaged or recording.is_truncated else set()
    if not all(np.isfinite(frames).all() for frames in windows):
        faults.add(Fault.NAN)
        windows = [np.where(np.isfinite(frames), frames, np.float32(0)) for frames in windows]
    sound = np.concatenate(windows)
    offsets = sound.mean(axis=0, dtype=np.float64)
    levels_db = [_decibel(float(power)) for power in sound.var(axis=0, dtype=np.float64)]
    is_silent = [np.ptp(sound[:, channel]) < _SILENT_RANGE for channel in range(sound.shape[1])]
    clipped_share = max(_clipped_share(frames) for frames in windows)
    if len(sound) < _SHORT_S * recording.sample_rate_hz:
        faults.add(Fault.SHORT)
    else:
        noticed = {
            Fault.SILENT: all(is_silent),
            Fault.DEAD_CHANNEL: any(is_silent) and not all(is_silent),
            Fault.FAINT: not all(is_silent) and max(levels_db) < _FAINT_DB,
            Fault.CLIPPED: clipped_share > _CLIPPED_SHARE,
            Fault.DC: float(np.abs(offsets).max()) > _DC_LEVEL,
        }
        faults |= {fault for fault, is_so in noticed.items() if is_so}
    return SoundCheck(
        level_db=_decibel(float(sound.var(axis=0, dtype=np.float64).mean())),
        peak=float(np.abs(sound).max()),
        dc=float(offsets[np.abs(offsets).argmax()]),
        clipped_share=clipped_share,
        power=np.mean([_power(frames) for frames in windows], axis=0),
        faults=frozenset(faults),
    )


def _read(
    recording: Recording, num_windows: int, window_s: float
) -> tuple[list[Float[np.ndarray, "samples channels"]], bool]:
    """The windows that could be decoded at the native rate, and whether parts could not."""
    num_samples = min(recording.num_samples, math.ceil(window_s * recording.sample_rate_hz))
    if recording.num_samples < num_windows * num_samples:
        starts, num_samples = [0], min(recording.num_samples, num_windows * num_samples)
    elif recording.seeks_well:
        step = recording.num_samples / num_windows
        starts = [int((i + 0.5) * step - num_samples / 2) for i in range(num_windows)]
    else:
        starts = [i * num_samples for i in range(num_windows)]
    windows, is_damaged, position = [], False, 0
    with decoder_of(recording) as decoder:
        for start in starts:
            decoder.skip(start - position)
            stretch = decoder.read(num_samples)
            position = start + num_samples
            is_damaged |= not stretch.is_decoded.all()
            if stretch.is_decoded.any():
                windows.append(stretch.frames[stretch.is_decoded])
    return windows, is_damaged


def _clipped_share(frames: Float[np.ndarray, "samples channels"]) -> float:
    levels = np.abs(frames)
    lowest, highest = _FULL_SCALE
    return float((levels >= lowest).mean()) if levels.max() <= highest else 0.0


def _power(frames: Float[np.ndarray, "samples channels"]) -> Float[np.ndarray, " bands"]:
    """Welch's estimate with Hann windows that overlap by half, averaged over the channels."""
    centred = frames.astype(np.float64) - frames.mean(axis=0, dtype=np.float64)
    padded = np.pad(centred, ((0, max(0, _FFT_SAMPLES - len(centred))), (0, 0)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES, axis=0)[::NUM_BANDS]
    window = np.hanning(_FFT_SAMPLES)
    spectrum = np.square(np.abs(np.fft.rfft(pieces * window))).mean(axis=(0, 1))
    power: Float[np.ndarray, " bands"] = 2 * spectrum[1:] / (_FFT_SAMPLES * np.square(window).sum())
    power[-1] /= 2  # the highest frequency has no mirror image
    return power


def _decibel(power: float) -> float:
    return 10 * math.log10(max(power, _FLOOR_POWER))
