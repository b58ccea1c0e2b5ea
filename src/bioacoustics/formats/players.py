"""Players: sound that every browser plays from within a page."""

import io

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_PEAK = 0.9


def mp3_of(samples: Float[np.ndarray, " samples"], sample_rate_hz: int) -> bytes:
    """A mono MP3, as loud as it may be, so that faint calls are heard; clips on disk keep their level."""
    # The next rate that MP3 knows; what is faster than all is lowered to the highest.
    rate_hz = min((rate for rate in _MP3_RATES_HZ if rate >= sample_rate_hz), default=_MP3_RATES_HZ[-1])
    if rate_hz != sample_rate_hz:
        samples = soxr.resample(samples, sample_rate_hz, rate_hz, quality="HQ")
    peak = float(np.abs(samples).max(initial=0.0))
    file = io.BytesIO()
    soundfile.write(file, samples * (_PEAK / peak if peak > 0 else 0.0), rate_hz, format="MP3")
    return file.getvalue()
