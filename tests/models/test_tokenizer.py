"""Tokenizers against the official one, loaded from its checkpoint, written back to equal bits, and misuse."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bioacoustics import load_encoder, load_tokenizer
from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.codebook import Codebook, CodebookConfig
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.random_projection import RandomProjectionConfig
from bioacoustics.models.saved import bundle_of_encoder, read_bundle, write_bundle
from bioacoustics.models.saved_tokenizers import (
    build_predictor,
    bundle_of_masked_tokens,
    bundle_of_tokenizer,
)
from bioacoustics.models.tokenizer import DistilledTokenizer, RandomTokenizer
from bioacoustics.workflows.convert import convert

Arrays = dict[str, Tensor]
LENGTHS = [40_000, 27_123, 16_000, 7_301]
SIZE = BEATsConfig(
    patch_dim=24,
    embed_dim=32,
    hidden_dim=64,
    depth=2,
    num_heads=2,
    position_kernel=8,
    position_groups=4,
    num_buckets=16,
    max_distance=32,
)


@pytest.fixture(scope="module")
def official(golden_beats: Path) -> Arrays:
    with np.load(golden_beats / "tokenizer.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def tokenizer(golden_beats: Path) -> DistilledTokenizer:
    """The official tokenizer, padding as the official code does."""
    loaded = load_tokenizer(golden_beats / "tokenizer.pt")
    assert isinstance(loaded, DistilledTokenizer)
    shape = loaded.encoder.config.model_copy(update={"padding_rule": "official"})
    encoder = BEATsEncoder(shape)
    encoder.load_state_dict(loaded.encoder.encoder.state_dict())
    loaded.encoder = AudioEncoder(loaded.front_end.config, encoder)
    return loaded.eval()


def beats_encoder(seed: int = 0) -> AudioEncoder:
    torch.manual_seed(seed)
    return AudioEncoder(LogMelConfig.beats(), BEATsEncoder(SIZE)).eval()


@pytest.mark.parametrize("which", ["masked", "nomask"])
def test_equals_the_official_one(tokenizer: DistilledTokenizer, official: Arrays, which: str) -> None:
    waveforms = official["wav"]
    lengths = torch.tensor(LENGTHS) if which == "masked" else None
    log_mel = tokenizer.log_mel(waveforms, lengths)
    num_frames = tokenizer.num_frames(lengths, waveforms.shape[1])
    before = {name: value.clone() for name, value in tokenizer.codebook.state_dict().items()}
    with torch.no_grad():
        projected, _ = tokenizer.project(log_mel, num_frames)
        quantised, _, distances = tokenizer.codebook.quantise(projected)
    loose = {"rtol": 1e-3, "atol": 2e-3}
    torch.testing.assert_close(projected, official[f"quant_in_{which}"], **loose)
    ids = tokenizer.tokenize(log_mel, num_frames)
    assert ids.shape == (4, 120)
    is_wrong = ids.flatten() != official[f"labels_{which}"]
    assert not (is_wrong & (official[f"labels_margin_{which}"] >= 1e-4)).any()
    torch.testing.assert_close(
        tokenizer.codebook.vectors[ids.flatten()], official[f"codewords_{which}"], **loose
    )
    torch.testing.assert_close(quantised, official[f"z_q_{which}"], **loose)
    torch.testing.assert_close(distances.mean(), official[f"commit_{which}"], **loose)
    for name, value in tokenizer.codebook.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_usage_moves_by_the_official_counts(official: Arrays) -> None:
    """The official usage moved in evaluation, call by call; ours does so where `move` is called.

    The two arrays of usage "after" are one: both show the buffer after all calls.
    """
    codebook = Codebook(CodebookConfig(num_codes=64, dim=16))
    codebook.usage.copy_(official["usage_before_masked"])
    calls = ["labels_masked", "labels_nomask", *(f"single_labels{clip}" for clip in range(4))]
    for call in calls:
        codebook.move(torch.bincount(official[call].long(), minlength=64).float(), torch.zeros(64, 16))
        if call == "labels_masked":
            torch.testing.assert_close(codebook.usage, official["usage_before_nomask"], rtol=1e-3, atol=2e-3)
    for name in ("usage_after_masked", "usage_after_nomask"):
        torch.testing.assert_close(codebook.usage, official[name], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("clip", range(4))
def test_clips_alone_equal_the_official_ones(
    tokenizer: DistilledTokenizer, official: Arrays, clip: int
) -> None:
    waveform = official["wav"][clip : clip + 1, : LENGTHS[clip]]
    ids = tokenizer.tokenize(tokenizer.log_mel(waveform))
    assert torch.equal(ids[0], official[f"single_labels{clip}"].long())


def test_published_tokenizer_there_and_back_has_equal_bits(golden_beats: Path, tmp_path: Path) -> None:
    convert(golden_beats / "tokenizer.pt", tmp_path / "ours.safetensors", "bioacoustics")
    convert(tmp_path / "ours.safetensors", tmp_path / "theirs.pt", "beats")
    before, after = (
        torch.load(path, weights_only=True)
        for path in (golden_beats / "tokenizer.pt", tmp_path / "theirs.pt")
    )
    assert before["cfg"] == after["cfg"]
    assert list(before["model"]) == list(after["model"])
    for name, value in before["model"].items():
        assert torch.equal(value, after["model"][name]), name
    assert isinstance(load_encoder(golden_beats / "tokenizer.pt").encoder, BEATsEncoder)


def test_our_own_tokenizer_is_saved_and_exported(tmp_path: Path) -> None:
    ours = DistilledTokenizer(beats_encoder(), CodebookConfig(num_codes=12, dim=6)).eval()
    ours.codebook.start(torch.randn(50, 6), seed=1)
    path = tmp_path / "tokenizer.pt"
    write_bundle(bundle_of_tokenizer(ours), path)
    log_mel = ours.log_mel(torch.randn(2, 9000) * 0.1)
    expected = ours.tokenize(log_mel)
    assert torch.equal(load_tokenizer(path).tokenize(log_mel), expected)
    convert(path, tmp_path / "official.pt", "beats")
    exported = torch.load(tmp_path / "official.pt", weights_only=True)
    assert (exported["cfg"]["quant_n"], exported["cfg"]["quant_dim"]) == (12, 6)
    assert {
        "quantize.embedding.embed_avg",
        "quantize.embedding.cluster_size",
        "quantize.cluster_size",
    } <= set(exported["model"])
    assert torch.equal(load_tokenizer(tmp_path / "official.pt").tokenize(log_mel), expected)


def test_a_random_projection_lies_in_the_pretraining_that_learnt_from_it(tmp_path: Path) -> None:
    encoder = beats_encoder()
    config = RandomProjectionConfig(num_codes=12, code_dim=6, patch_dim=16, band_mean=(0.5,) * 128)
    projection = RandomTokenizer(LogMelConfig.beats(), config)
    predictor = LabelPredictor(LabelPredictorConfig.beside(SIZE, num_codes=12, depth=1), 32)
    path = tmp_path / "pretraining.safetensors"
    write_bundle(bundle_of_masked_tokens(encoder, predictor, projection), path)
    loaded = load_tokenizer(path)
    assert isinstance(loaded, RandomTokenizer)
    assert loaded.random_projection.config == config
    log_mel = projection.log_mel(torch.randn(2, 9000) * 0.1)
    assert torch.equal(loaded.tokenize(log_mel), projection.tokenize(log_mel))
    rebuilt = build_predictor(read_bundle(path))
    assert rebuilt is not None
    for name, value in predictor.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], value), name
    assert torch.equal(load_encoder(path).encoder.patch_norm.weight, encoder.encoder.patch_norm.weight)
    with pytest.warns(UserWarning, match="no place for predictor, random_projection"):
        convert(path, tmp_path / "official.pt", "beats")
    assert read_bundle(tmp_path / "official.pt").header.kind == "encoder"


def test_a_model_without_tokenizer_says_so(tmp_path: Path) -> None:
    write_bundle(bundle_of_encoder(beats_encoder()), tmp_path / "encoder.pt")
    with pytest.raises(ValueError, match=r"encoder.pt: this beats model holds no tokenizer \(.*'encoder'\)"):
        load_tokenizer(tmp_path / "encoder.pt")


def test_short_clips_have_one_column() -> None:
    for tokenizer in (
        RandomTokenizer(LogMelConfig.beats(), RandomProjectionConfig(num_codes=12)),
        DistilledTokenizer(beats_encoder(), CodebookConfig(num_codes=12, dim=6)).eval(),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ids = tokenizer.tokenize(tokenizer.log_mel(torch.randn(1, 500)))
        assert ids.shape == (1, 8)
        assert tokenizer.num_codes == 12
        assert tokenizer.patch_size == 16
