"""What the end-to-end tests share: a tiny data set in the documented layout."""

import pytest

from bioacoustics.data.synthesis import SyntheticDataset, synthesise_dataset


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    """Six recordings without labels, four clips of each of ten animals, a longer one; for reading only."""
    folder = tmp_path_factory.mktemp("datos de campo")  # a space, as real folders have
    return synthesise_dataset(
        folder, seed=3, num_unlabeled=6, num_labeled_per_class=4, clip_s=1.5, long_recording_s=6.0
    )
