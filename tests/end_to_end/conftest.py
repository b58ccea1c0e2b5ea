"""What the end-to-end tests share: a tiny data set in the documented layout, and models to begin with."""

import csv
import shutil
import sys
from pathlib import Path

import pytest
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.synthesis import SyntheticDataset, synthesise_dataset
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.bundle import Bundle
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.predictors import LabelPredictor, LabelPredictorConfig
from bioacoustics.models.saved import bundle_of_pretraining, write_bundle
from bioacoustics.models.saved_tokenizers import bundle_of_masked_tokens

# For `import runs` and `import small_beats`: pytest leaves the path alone.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "objectives"))
from small_beats import DROPOUTS, audio_encoder, beats_config, random_tokenizer


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    """Six recordings without labels, four clips of each of ten animals, a longer one; for reading only."""
    folder = tmp_path_factory.mktemp("datos de campo")  # a space, as real folders have
    return synthesise_dataset(
        folder, seed=3, num_unlabeled=6, num_labeled_per_class=4, clip_s=1.5, long_recording_s=6.0
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_data: SyntheticDataset) -> list[str]:
    """The four sources as flags; two labels are the target, three what it is not."""
    root = tmp_path_factory.mktemp("campo")
    with tiny_data.labels_csv.open(newline="", encoding="utf-8") as file:
        labels = {row["filename"]: row["labels"] for row in csv.DictReader(file)}
    words = sorted(set(labels.values()))
    for name, label in labels.items():
        if (number := words.index(label)) < 5:
            folder = root / ("positive" if number < 2 else "negative")
            folder.mkdir(exist_ok=True)
            shutil.copy(tiny_data.audio_dir / name, folder / Path(name).name)
    paths = {
        "--data_dir": tiny_data.unlabeled_dir,
        "--labeled_dir": tiny_data.labels_csv.parent,
        "--positive_dir": root / "positive",
        "--negative_dir": root / "negative",
    }
    return [word for flag, path in paths.items() for word in (flag, str(path))]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Very small models of both kinds: one drops at random, what the other does no split can change."""
    folder = tmp_path_factory.mktemp("models")
    for name, share in (("dropping", 0.2), ("plain", 0.0)):
        write_bundle(_beats(share), folder / f"beats {name}.pt")
        write_bundle(_eat(share), folder / f"eat {name}.pt")
    return {path.stem: path for path in folder.iterdir()}


def _beats(dropout: float) -> Bundle:
    encoder: AudioEncoder = audio_encoder(**dict.fromkeys(DROPOUTS, dropout))
    shape = LabelPredictorConfig.beside(beats_config(), num_codes=16, depth=1)
    return bundle_of_masked_tokens(encoder, LabelPredictor(shape, encoder.embedding_dim), random_tokenizer())


def _eat(drop_path_rate: float) -> Bundle:
    torch.manual_seed(0)
    shape = EATConfig(
        embed_dim=32, depth=2, num_heads=2, num_position_columns=16, drop_path_rate=drop_path_rate
    )
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(shape))
    return bundle_of_pretraining(
        encoder, EATDecoder(DecoderConfig(width=32, num_layers=1), 32), EATEncoder(shape)
    )
