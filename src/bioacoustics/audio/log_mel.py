"""Log-mel spectrograms: Kaldi's filter banks, batched, on the device of the waveforms."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

PRE_EMPHASIS = 0.97
FRAMES_PER_PASS = 4096  # bounds memory, and twice as fast as 16384 on a CPU because it fits the cache
ENERGY_FLOOR = torch.finfo(torch.float32).eps  # Kaldi's: silence becomes log(1.19e-7) = -15.94


class LogMelConfig(BaseModel, frozen=True, extra="forbid"):
    """How waveforms become normalised log-mel spectrograms. The defaults are EAT's on AudioSet."""

    sample_rate_hz: int = Field(default=16000, gt=0)
    num_mels: int = Field(default=128, gt=0)
    frame_length_ms: float = Field(default=25.0, gt=0)
    frame_shift_ms: float = Field(default=10.0, gt=0)
    window: Literal["hann", "povey"] = "hann"
    low_hz: float = Field(default=20.0, ge=0)
    high_hz: float = 8000.0
    waveform_scale: float = Field(default=1.0, gt=0)
    removes_clip_mean: bool = True
    mean: float = -4.268
    std: float = Field(default=4.569, gt=0)
    padding: float = 0.0  # log energy of frames that are no sound, before they are normalised

    @model_validator(mode="after")
    def _check_range(self) -> "LogMelConfig":
        nyquist_hz = self.sample_rate_hz / 2
        if not self.low_hz < self.high_hz <= nyquist_hz:
            raise ValueError(
                f"mel bands from low_hz {self.low_hz:g} to high_hz {self.high_hz:g} do not fit: "
                f"high_hz must be above low_hz and at most half of sample_rate_hz, {nyquist_hz:g}"
            )
        if self.frame_length < 2 or self.frame_shift < 1:
            raise ValueError(
                f"frames of {self.frame_length_ms:g} ms every {self.frame_shift_ms:g} ms are too short "
                f"at {self.sample_rate_hz} Hz: a frame needs 2 samples and a shift 1"
            )
        return self

    @classmethod
    def eat(cls, **overrides: Any) -> "LogMelConfig":
        """EAT's front end, with AudioSet's mean and standard deviation."""
        return cls(**overrides)

    @classmethod
    def beats(cls, **overrides: Any) -> "LogMelConfig":
        """BEATs' front end, with the constants of its official code."""
        published: dict[str, Any] = {
            "window": "povey",
            "waveform_scale": 32768.0,
            "removes_clip_mean": False,
            "mean": 15.41663,
            "std": 6.55582,
            "padding": math.log(ENERGY_FLOOR),  # digital silence
        }
        return cls(**(published | overrides))

    @property
    def frame_length(self) -> int:
        """Samples in a frame."""
        return int(self.sample_rate_hz * self.frame_length_ms / 1000)

    @property
    def frame_shift(self) -> int:
        """Samples from the start of a frame to the start of the next."""
        return int(self.sample_rate_hz * self.frame_shift_ms / 1000)

    @property
    def fft_size(self) -> int:
        """Samples of a frame after zero-padding: the next power of two."""
        return 1 << (self.frame_length - 1).bit_length()

    def num_frames(self, num_samples: int) -> int:
        """Whole frames in so many samples; there are none in less than `frame_length`."""
        return max(0, 1 + (num_samples - self.frame_length) // self.frame_shift)

    def num_samples(self, num_frames: int) -> int:
        """Fewest samples that give so many frames."""
        return self.frame_length + (num_frames - 1) * self.frame_shift if num_frames > 0 else 0


class LogMel(nn.Module):
    """Waveforms in [-1, 1] to log-mel frames, as Kaldi computes them without dither; has no weights.

    The result is float32, even under autocast. The Fourier transform works in float64 where the device can
    (Apple's MPS cannot): rounding in float32 moves the logarithm of quiet bands by 0.001 and more, and
    differently on every device and in every batch.
    """

    window: Tensor
    mel_filters: Tensor

    def __init__(self, config: LogMelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", _window(config), persistent=False)
        self.register_buffer("mel_filters", _mel_filters(config), persistent=False)

    def unnormalised(self, waveforms: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames mels"]:
        """Natural logarithm of the energy in each mel band; frames = `config.num_frames(samples)`."""
        with torch.autocast(waveforms.device.type, enabled=False):
            return self._log_energies(waveforms.float(), num_samples=None)

    def forward(
        self,
        waveforms: Float[Tensor, "batch samples"],
        num_samples: Int[Tensor, " batch"] | None = None,
        *,
        target_length: int | None = None,
        multiple_of: int = 1,
    ) -> Float[Tensor, "batch frames mels"]:
        """Normalised log-mel spectrograms: (log energy - mean) / (2 std).

        Frames that are not wholly sound have the log energy `padding` before they are normalised. EAT's 0 is
        louder than silence (-15.94), but the published models were trained so.

        Args:
            waveforms: mono samples in [-1, 1] at the configured rate.
            num_samples: how many samples of each row are sound, on the waveforms' device; what follows is
                ignored, so that each row comes out as it would alone. All of them by default.
            target_length: pad at the end or keep the first frames, so that there are so many frames.
            multiple_of: then pad at the end until the number of frames is a multiple of this.
        """
        with torch.autocast(waveforms.device.type, enabled=False):
            log_energies = self._log_energies(waveforms.float(), num_samples)
            kept = log_energies[:, :target_length]
            length = math.ceil(max(kept.shape[1], target_length or 0) / multiple_of) * multiple_of
            fitted = F.pad(kept, (0, 0, 0, length - kept.shape[1]), value=self.config.padding)
            return (fitted - self.config.mean) / (2 * self.config.std)

    def _log_energies(
        self, waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None
    ) -> Float[Tensor, "batch frames mels"]:
        config = self.config
        num_frames = config.num_frames(waveforms.shape[1])
        if num_frames == 0:
            return waveforms.new_zeros(waveforms.shape[0], 0, config.num_mels)
        if config.removes_clip_mean:
            waveforms = waveforms - _means(waveforms, num_samples)
        num_rows = max(1, FRAMES_PER_PASS // num_frames)
        energies = torch.cat([self._energies(rows) for rows in torch.split(waveforms, num_rows)])
        log_energies = energies.clamp(min=ENERGY_FLOOR).log()
        if num_samples is None:
            return log_energies
        ends = torch.arange(num_frames, device=waveforms.device) * config.frame_shift + config.frame_length
        is_sound = ends <= num_samples.unsqueeze(1)
        return torch.where(is_sound.unsqueeze(2), log_energies, config.padding)

    def _energies(self, waveforms: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames mels"]:
        precision = torch.float32 if waveforms.device.type == "mps" else torch.float64
        samples = waveforms.to(precision) * self.config.waveform_scale
        frames = samples.unfold(1, self.config.frame_length, self.config.frame_shift)
        frames = frames - frames.mean(dim=2, keepdim=True)
        previous = torch.cat([frames[:, :, :1], frames[:, :, :-1]], dim=2)
        windowed = (frames - PRE_EMPHASIS * previous) * self.window
        spectrum = torch.fft.rfft(windowed, n=self.config.fft_size)
        # The root that abs() takes, to be squared again, costs five times as much.
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        energies: Tensor = power @ self.mel_filters.to(precision)
        return energies.float()


def _means(
    waveforms: Float[Tensor, "batch samples"], num_samples: Int[Tensor, " batch"] | None
) -> Float[Tensor, "batch 1"]:
    if num_samples is None:
        return waveforms.mean(dim=1, keepdim=True)
    is_sound = torch.arange(waveforms.shape[1], device=waveforms.device) < num_samples.unsqueeze(1)
    sums = torch.where(is_sound, waveforms, 0).sum(dim=1, keepdim=True)
    return sums / num_samples.clamp(min=1).unsqueeze(1)


def _window(config: LogMelConfig) -> Float[Tensor, " samples"]:
    # Rounded to float32 at each step, as the official front ends do: quiet cells show the difference.
    window = torch.hann_window(config.frame_length, periodic=False)
    return window**0.85 if config.window == "povey" else window


def _mel_filters(config: LogMelConfig) -> Float[Tensor, "bins mels"]:
    """Triangles of equal width on the mel scale 1127 ln(1 + f / 700); a narrow one may hold no FFT bin."""
    bins_hz = (
        torch.arange(config.fft_size // 2 + 1, dtype=torch.float64) * config.sample_rate_hz / config.fft_size
    )
    bins_mel = 1127 * torch.log1p(bins_hz / 700)
    low_mel, high_mel = (1127 * math.log1p(hz / 700) for hz in (config.low_hz, config.high_hz))
    edges = torch.linspace(low_mel, high_mel, config.num_mels + 2, dtype=torch.float64)
    rising = (bins_mel.unsqueeze(1) - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins_mel.unsqueeze(1)) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()
