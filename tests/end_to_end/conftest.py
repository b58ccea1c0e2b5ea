"""What the end-to-end tests share: a tiny data set in the documented layout."""

import csv
import shutil
from pathlib import Path

import pytest

from bioacoustics.data.synthesis import SyntheticDataset, synthesise_dataset


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
