"""Golden front ends, a slow obvious version, and the invariants of padding and batching."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from bioacoustics.audio import log_mel
from bioacoustics.audio.log_mel import LogMel, LogMelConfig

EAT_CLIPS = ("w16k", "w32k", "w44k", "w16k_10s", "w16k_short")
EAT_NORMS = {
    "as": LogMelConfig.eat(),
    "esc": LogMelConfig.eat(mean=-6.627, std=5.359),
    "spc": LogMelConfig.eat(mean=-6.846, std=5.565),
}


def chirps(batch: int, num_samples: int, seed: int = 0) -> Tensor:
    """Sweeps over a little noise, each row different."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(num_samples) / 16000
    start_hz = 300 + 2000 * torch.rand(batch, 1, generator=generator)
    noise = torch.randn(batch, num_samples, generator=generator)
    return 0.3 * torch.sin(2 * math.pi * (start_hz * time + 900 * time**2)) + 0.01 * noise


def slow_log_mel(samples: np.ndarray, config: LogMelConfig) -> np.ndarray:
    """One frame, one bin, one filter at a time, in float64, by a Fourier transform without any FFT."""
    samples = samples.astype(np.float64)
    samples = (samples - samples.mean() * config.removes_clip_mean) * config.waveform_scale
    length, size = config.frame_length, config.fft_size
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    window = hann if config.window == "hann" else hann**0.85
    low, high = (1127 * math.log(1 + hz / 700) for hz in (config.low_hz, config.high_hz))
    step = (high - low) / (config.num_mels + 1)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(length)) / size)
    rows = []
    for start in range(0, len(samples) - length + 1, config.frame_shift):
        frame = samples[start : start + length] - samples[start : start + length].mean()
        emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(fourier @ (emphasised * window)) ** 2
        energies = np.zeros(config.num_mels)
        for mel in range(config.num_mels):
            left, right = low + mel * step, low + (mel + 2) * step
            for fft_bin in range(size // 2 + 1):
                place = 1127 * math.log(1 + fft_bin * config.sample_rate_hz / size / 700)
                weight = max(0.0, min((place - left) / step, (right - place) / step))
                energies[mel] += weight * power[fft_bin]
        rows.append(np.log(np.maximum(energies, 1.1920929e-07)))
    return np.array(rows)


def golden_waveform(arrays: "np.lib.npyio.NpzFile", clip: str) -> Tensor:
    resampled = f"{clip}__resampled16k"
    return torch.from_numpy(arrays[resampled if resampled in arrays.files else f"{clip}__wave"]).unsqueeze(0)


@pytest.mark.parametrize("clip", EAT_CLIPS)
def test_unnormalised_equals_official_eat(golden_eat: Path, clip: str) -> None:
    arrays = np.load(golden_eat / "frontend.npz")
    ours = LogMel(LogMelConfig.eat()).unnormalised(golden_waveform(arrays, clip))[0].numpy()
    official = arrays[f"{clip}__fbank_raw"]
    assert ours.shape == official.shape
    np.testing.assert_allclose(ours, official, rtol=0, atol=1e-3)


@pytest.mark.parametrize("clip", EAT_CLIPS)
def test_normalised_and_fitted_equals_official_eat(golden_eat: Path, clip: str) -> None:
    arrays = np.load(golden_eat / "frontend.npz")
    waveform = golden_waveform(arrays, clip)
    names = [name for name in arrays.files if re.fullmatch(rf"{clip}__(as_|esc|spc)\d+", name)]
    assert len(names) == (1 if clip == "w16k_10s" else 4)
    for name in names:
        norm, length = re.fullmatch(r".+__([a-z]+)_?(\d+)", name).groups()
        ours = LogMel(EAT_NORMS[norm])(waveform, target_length=int(length))[0].numpy()
        np.testing.assert_allclose(ours, arrays[name], rtol=0, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("clip", range(5))
def test_equals_official_beats(golden_beats: Path, clip: int) -> None:
    arrays = np.load(golden_beats / "fbank.npz")
    front_end = LogMel(LogMelConfig.beats())
    waveform = torch.from_numpy(arrays[f"wav{clip}"]).unsqueeze(0)
    raw = np.abs(front_end.unnormalised(waveform)[0].numpy() - arrays[f"fbank_raw{clip}"])
    normalised = np.abs(front_end(waveform)[0].numpy() - arrays[f"fbank{clip}"])
    assert raw.max() <= 0.1 and (raw > 8e-3).mean() <= 1e-3 and raw.mean() <= 2e-4
    assert normalised.max() <= 1e-2 and (normalised > 1e-3).mean() <= 1e-3 and normalised.mean() <= 2e-5


def test_equals_official_beats_with_other_constants(golden_beats: Path) -> None:
    arrays = np.load(golden_beats / "fbank.npz")
    front_end = LogMel(LogMelConfig.beats(mean=11.72215, std=10.60431))
    error = np.abs(
        front_end(torch.from_numpy(arrays["wav3"]).unsqueeze(0))[0].numpy() - arrays["fbank3_custom"]
    )
    assert error.max() <= 1e-2 and (error > 1e-3).mean() <= 1e-3 and error.mean() <= 2e-5


def test_window_and_filters_equal_official_beats(golden_beats: Path) -> None:
    arrays = np.load(golden_beats / "fbank.npz")
    front_end = LogMel(LogMelConfig.beats())
    np.testing.assert_allclose(front_end.window.numpy(), arrays["window"], rtol=0, atol=1e-6)
    # float32 rounds mel numbers, in the official matrix at more places than in ours: 1e-5 of a filter.
    np.testing.assert_allclose(front_end.mel_filters[:256].T.numpy(), arrays["mel_bank"], rtol=0, atol=2e-5)
    assert front_end.mel_filters[256].abs().max() < 1e-6


@pytest.mark.parametrize(
    "config",
    [
        LogMelConfig.eat(),
        LogMelConfig.beats(),
        LogMelConfig.eat(sample_rate_hz=48000, high_hz=24000, num_mels=64),
        LogMelConfig.eat(sample_rate_hz=44100),
        LogMelConfig.eat(sample_rate_hz=8000, high_hz=4000, num_mels=32),
    ],
    ids=["eat", "beats", "48 kHz", "44.1 kHz", "8 kHz"],
)
def test_equals_slow_obvious_version(config: LogMelConfig) -> None:
    samples = chirps(1, config.num_samples(3) + 7)
    ours = LogMel(config).unnormalised(samples)[0].numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, slow_log_mel(samples[0].numpy(), config), rtol=0, atol=1e-3)


def test_stays_float32_under_autocast() -> None:
    front_end, waveforms = LogMel(LogMelConfig.eat()), chirps(2, 4000)
    expected, expected_raw = front_end(waveforms), front_end.unnormalised(waveforms)
    with torch.autocast("cpu", torch.bfloat16):
        ours, raw = front_end(waveforms), front_end.unnormalised(waveforms)
    assert ours.dtype == raw.dtype == torch.float32
    assert torch.equal(ours, expected) and torch.equal(raw, expected_raw)


@pytest.mark.parametrize("config", [LogMelConfig.eat(), LogMelConfig.beats()], ids=["eat", "beats"])
def test_rows_of_a_batch_equal_each_clip_alone(config: LogMelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_mel, "FRAMES_PER_PASS", 30)  # several passes
    front_end = LogMel(config)
    lengths = [5000, 399, 400, 2817, 0]
    waveforms = chirps(len(lengths), 5000) + 0.1  # the clip mean matters
    batched = front_end(waveforms, torch.tensor(lengths), target_length=40)
    for row, length in enumerate(lengths):
        alone = front_end(waveforms[row : row + 1, :length], target_length=40)
        torch.testing.assert_close(batched[row : row + 1], alone, rtol=0, atol=1e-5)


def test_what_follows_the_valid_samples_is_ignored() -> None:
    waveforms = chirps(2, 3000)
    polluted = waveforms.clone()
    polluted[1, 2000:] = torch.nan
    num_samples = torch.tensor([3000, 2000])
    front_end = LogMel(LogMelConfig.eat())
    assert torch.equal(front_end(waveforms, num_samples), front_end(polluted, num_samples))


def test_pads_before_it_normalises() -> None:
    config = LogMelConfig.eat()
    log_mels = LogMel(config)(chirps(1, 4000), torch.tensor([1000]), target_length=30)
    padding = torch.tensor((0 - config.mean) / (2 * config.std))  # +0.467, much louder than silence
    assert config.num_frames(1000) == 4
    torch.testing.assert_close(log_mels[0, 4:], padding.expand(26, 128))
    assert not (log_mels[0, :4] == log_mels[0, -1, -1]).any()


def test_padding_of_beats_sounds_like_silence() -> None:
    front_end = LogMel(LogMelConfig.beats())
    log_mels = front_end(chirps(1, 4000), torch.tensor([1000]), target_length=30)
    silence = front_end(torch.zeros(1, 4000))
    torch.testing.assert_close(log_mels[0, 4:], silence[0, :1].expand(26, 128))
    assert log_mels[0, -1, -1].item() == pytest.approx(-2.3917, abs=1e-4)


def test_target_length_and_multiple_of() -> None:
    front_end, waveforms = LogMel(LogMelConfig.eat()), chirps(1, 16000)
    assert front_end(waveforms).shape == (1, 98, 128)
    assert front_end(waveforms, multiple_of=16).shape == (1, 112, 128)
    assert front_end(waveforms, target_length=50, multiple_of=16).shape == (1, 64, 128)
    assert torch.equal(front_end(waveforms, target_length=50), front_end(waveforms)[:, :50])
    # Frames that target_length cuts off do not come back in the padding up to the multiple.
    fitted = front_end(waveforms, target_length=50, multiple_of=16)
    assert torch.equal(fitted[:, :50], front_end(waveforms)[:, :50])
    assert (fitted[:, 50:] == fitted[0, -1, -1]).all()


def test_waveforms_shorter_than_a_frame_have_no_frames() -> None:
    front_end = LogMel(LogMelConfig.eat())
    assert front_end.unnormalised(torch.zeros(3, 399)).shape == (3, 0, 128)
    assert front_end(torch.zeros(3, 399), target_length=16).shape == (3, 16, 128)


@pytest.mark.parametrize("config", [LogMelConfig.eat(), LogMelConfig.eat(sample_rate_hz=44100)])
def test_counts_of_frames_and_samples_are_inverse(config: LogMelConfig) -> None:
    for num_frames in (1, 2, 998, 1024):
        fewest = config.num_samples(num_frames)
        assert config.num_frames(fewest) == num_frames and config.num_frames(fewest - 1) == num_frames - 1
    assert config.num_samples(0) == config.num_frames(0) == 0
    assert LogMelConfig.eat().num_frames(160_000) == 998


def test_digital_silence_is_the_energy_floor() -> None:
    raw = LogMel(LogMelConfig.beats()).unnormalised(torch.zeros(1, 800))
    assert torch.allclose(raw, torch.tensor(-15.942385))


def test_has_no_state_and_gradients_reach_the_waveform() -> None:
    front_end, waveforms = LogMel(LogMelConfig.eat()), chirps(1, 800).requires_grad_()
    front_end(waveforms).sum().backward()
    assert not front_end.state_dict() and waveforms.grad is not None and waveforms.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sample_rate_hz": 8000}, "high_hz must be above low_hz and at most half of sample_rate_hz, 4000"),
        ({"low_hz": 9000.0}, "high_hz must be"),
        ({"frame_shift_ms": 0.01}, "too short at 16000 Hz"),
        ({"std": 0.0}, "std"),
        ({"windo": "hann"}, "windo"),
    ],
)
def test_refuses_impossible_settings(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LogMelConfig.eat(**overrides)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_equals_cpu() -> None:
    waveforms, num_samples = chirps(2, 16000), torch.tensor([16000, 9000])
    front_end = LogMel(LogMelConfig.eat())
    expected = front_end(waveforms, num_samples)
    ours = front_end.to("cuda")(waveforms.to("cuda"), num_samples.to("cuda"))
    torch.testing.assert_close(ours.cpu(), expected, rtol=0, atol=1e-5)
