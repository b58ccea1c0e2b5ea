"""Features of clips: what the encoder says, pooled without padding, in the order of the clips."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.audio.recordings import Recording, read_header
from bioacoustics.inference.clip_features import clip_features, clip_windows, pooled
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder

POOLINGS = ("cls", "mean", "mean_std", "bands", "bands_std")
FRAMES = 96


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    config = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
    return AudioEncoder(LogMelConfig.eat(), EATEncoder(config)).eval()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    folder = tmp_path_factory.mktemp("clips")
    for seed, duration_s in enumerate((1.0, 0.3, 2.0)):
        noise = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * duration_s))
        soundfile.write(folder / f"{seed}.wav", noise, 16_000, subtype="FLOAT")
    return [read_header(folder / f"{seed}.wav", folder) for seed in range(3)]


@torch.no_grad()
def test_features_are_those_of_the_encoder(encoder: AudioEncoder, recordings: list[Recording]) -> None:
    windows = clip_windows(encoder, recordings, target_length=FRAMES)
    told: list[int] = []
    found = clip_features(
        encoder,
        windows,
        target_length=FRAMES,
        poolings=POOLINGS,
        keeps_patches=True,
        batch_size=2,
        on_batch=told.append,
    )
    assert found.indices.tolist() == [0, 1, 2]
    assert told == [2, 3]
    assert found.patches is not None
    assert found.num_patches.tolist() == [48, 16, 48]  # 0.3 s are 28 frames: two columns of eight
    for clip in range(3):
        samples = torch.from_numpy(windows.read(clip, 0).samples)[None]
        log_mel = encoder.log_mel(samples, target_length=FRAMES)
        features = encoder.features(log_mel)
        sound = features.patches[0, : int(found.num_patches[clip])]
        for pooling in POOLINGS:
            assert features.cls is not None
            expected = pooled(sound, features.cls[0], pooling, 8)
            np.testing.assert_allclose(found.pooled[pooling][clip], expected, atol=1e-4)
        np.testing.assert_allclose(found.patches[clip, : len(sound)], sound, atol=5e-3)
        assert (found.patches[clip, len(sound) :] == 0).all()


def test_poolings_are_what_they_are_called() -> None:
    patches = torch.randn(5 * 8, 3)
    grid = patches.numpy().reshape(5, 8, 3)
    by_name = {name: pooled(patches, torch.ones(3), name, 8).numpy() for name in POOLINGS}
    np.testing.assert_allclose(by_name["cls"], 1)
    np.testing.assert_allclose(by_name["mean"], grid.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(by_name["mean_std"][3:], grid.std(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(by_name["bands"].reshape(8, 3), grid.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(by_name["bands_std"][24:].reshape(8, 3), grid.std(axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="no CLS token"):
        pooled(patches, None, "cls", 8)


def test_the_last_layer_is_the_encoders_own(encoder: AudioEncoder, recordings: list[Recording]) -> None:
    windows = clip_windows(encoder, recordings, target_length=FRAMES)
    own = clip_features(encoder, windows, target_length=FRAMES)
    last = clip_features(encoder, windows, target_length=FRAMES, layer=1)
    first = clip_features(encoder, windows, target_length=FRAMES, layer=0)
    np.testing.assert_array_equal(own.pooled["mean"], last.pooled["mean"])
    assert np.abs(own.pooled["mean"] - first.pooled["mean"]).max() > 1e-3
    with pytest.raises(ValueError, match=r"layer 2 is not among the encoder's 2 blocks"):
        clip_features(encoder, windows, target_length=FRAMES, layer=2)


def test_an_encoder_that_skips_padding_says_itself_what_is_sound(recordings: list[Recording]) -> None:
    torch.manual_seed(0)
    config = BEATsConfig(patch_dim=32, embed_dim=48, hidden_dim=64, depth=2, num_heads=2, position_groups=4)
    beats = AudioEncoder(LogMelConfig.beats(), BEATsEncoder(config)).eval()
    windows = clip_windows(beats, recordings, target_length=FRAMES)
    found = clip_features(beats, windows, target_length=FRAMES, poolings=("mean",))
    last = clip_features(beats, windows, target_length=FRAMES, poolings=("mean",), layer=1)
    np.testing.assert_allclose(found.pooled["mean"], last.pooled["mean"], atol=1e-6)
    for clip in range(len(recordings)):
        samples = torch.from_numpy(windows.read(clip, 0).samples)[None]
        alone = beats.embed(samples, pooling="mean")[0]
        np.testing.assert_allclose(found.pooled["mean"][clip], alone.detach(), atol=1e-4)


def test_unreadable_clips_are_left_out(
    encoder: AudioEncoder, recordings: list[Recording], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(recordings[0].path.read_bytes())
    header = read_header(broken, tmp_path)
    broken.write_bytes(b"")
    windows = clip_windows(encoder, [header, recordings[1]], target_length=FRAMES)
    found = clip_features(encoder, windows, target_length=FRAMES)
    assert found.indices.tolist() == [1]
    assert found.problems[0].path == "broken.wav"
    alone = clip_windows(encoder, [header], target_length=FRAMES)
    with pytest.raises(ValueError, match=r"none of the 1 clips can be read, e\.g\. broken\.wav"):
        clip_features(encoder, alone, target_length=FRAMES)
