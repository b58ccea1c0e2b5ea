"""Band: leave out of a window what sounds below or above the frequencies that somebody wants to hear."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

FLANK = 2 ** (1 / 6)  # a flank is a sixth of an octave wide, outside of the band
_RINGING_PERIODS = 4.0  # of a flank's width: beyond it, a raised cosine has died away


@dataclass(frozen=True, slots=True)
class Band:
    """What is kept: from `low_hz` to `high_hz` of the sound as it was recorded; None leaves a side open.

    Inside nothing changes, not even the phase. A sixth of an octave outside nothing is left but rounding:
    there the log-mel falls to silence, or to what its frames of 25 ms leak from loud frequencies.
    """

    low_hz: float | None = None
    high_hz: float | None = None

    def check(self, sample_rate_hz: int) -> None:
        """Refuse a band that a model cannot hear.

        Args:
            sample_rate_hz: of the sound that the model gets, in true samples a second.

        Raises:
            ValueError: an edge does not lie below half of the rate, or the edges are in the wrong order.
        """
        heard_hz = sample_rate_hz / 2
        for name, edge_hz in (("--low_hz", self.low_hz), ("--high_hz", self.high_hz)):
            if edge_hz is not None and not 0 < edge_hz < heard_hz:
                raise ValueError(
                    f"{name} {edge_hz:g} leaves nothing to limit: this model hears up to {heard_hz:g} Hz. "
                    "Choose an edge below, or let it hear higher with --time_expansion"
                )
        if self.low_hz is not None and self.high_hz is not None and self.low_hz >= self.high_hz:
            raise ValueError(
                f"--low_hz {self.low_hz:g} must be below --high_hz {self.high_hz:g}, or nothing is left"
            )

    def limited(self, samples: Float[np.ndarray, " samples"], sample_rate_hz: int) -> Float[np.ndarray, " _"]:
        """The samples without what lies outside the band, as many as before.

        Only the window is looked at, with its mirror image on both sides so that its ends do not ring.
        """
        edges_hz = [hz for hz in (self.low_hz, self.high_hz) if hz is not None]
        if len(samples) < 2 or not edges_hz:
            return samples
        flank_hz = min(edges_hz) * (FLANK - 1)
        num_mirrored = min(len(samples) - 1, math.ceil(_RINGING_PERIODS * sample_rate_hz / flank_hz))
        padded = np.pad(samples.astype(np.float64), num_mirrored, mode="reflect")
        # A length with small factors: the transform of a prime number of samples takes many times longer.
        length = 1 << (len(padded) - 1).bit_length()
        spectrum = np.fft.rfft(padded, n=length)
        spectrum *= self._gains(np.fft.rfftfreq(length, 1 / sample_rate_hz))
        limited: Float[np.ndarray, " _"] = np.fft.irfft(spectrum, n=length)
        core: Float[np.ndarray, " _"] = limited[num_mirrored : num_mirrored + len(samples)].astype(np.float32)
        return core

    def _gains(self, frequencies_hz: Float[np.ndarray, " bins"]) -> Float[np.ndarray, " bins"]:
        """1 inside, 0 outside, raised cosines over the logarithm of the frequency between."""
        octaves = np.log2(np.maximum(frequencies_hz, 1e-9))
        gains = np.ones_like(octaves)
        if self.low_hz is not None:
            gains *= _rising((octaves - math.log2(self.low_hz / FLANK)) / math.log2(FLANK))
        if self.high_hz is not None:
            gains *= _rising((math.log2(self.high_hz * FLANK) - octaves) / math.log2(FLANK))
        kept: Float[np.ndarray, " bins"] = gains
        return kept


WHOLE = Band()


def _rising(position: Float[np.ndarray, " bins"]) -> Float[np.ndarray, " bins"]:
    gains: Float[np.ndarray, " bins"] = 0.5 - 0.5 * np.cos(np.pi * np.clip(position, 0, 1))
    return gains
