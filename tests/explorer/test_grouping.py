"""Clusters are found again, numbered by size, guided in their number, and compared with labels."""

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.grouping import (
    HDBSCANConfig,
    KMeansConfig,
    agreement,
    by_size,
    cluster_table,
    group,
    guidance,
)

RNG = np.random.default_rng(0)
TRUE = np.repeat([2, 0, 1], [60, 30, 20])
POINTS = (10 * RNG.normal(size=(3, 6))[TRUE] + RNG.normal(size=(110, 6))).astype(np.float32)
CONFIGS = [KMeansConfig(num_clusters=3), HDBSCANConfig(min_cluster_size=10)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.method)
def test_clusters_are_found_and_numbered_by_size(config: KMeansConfig | HDBSCANConfig) -> None:
    clusters = group(POINTS, config)
    assert clusters.num_clusters == 3
    assert clusters.sizes.tolist() == sorted(clusters.sizes.tolist(), reverse=True)
    inside = clusters.numbers >= 0
    assert agreement(clusters.numbers, [f"c{i}" for i in TRUE]).rand > 0.95
    mixed = RNG.permutation(len(POINTS))
    again = group(POINTS[mixed], config)
    assert (again.numbers == clusters.numbers[mixed]).mean() > 0.97
    for cluster in range(3):
        members = np.flatnonzero(clusters.numbers == cluster)
        middle = POINTS[members].mean(axis=0)
        distances = np.linalg.norm(POINTS[members] - middle, axis=1)
        assert clusters.typical(cluster, 1)[0] == members[distances.argmin()]
        assert clusters.odd(cluster, 1)[0] == members[distances.argmax()]
        assert len(clusters.typical(cluster, 5)) == 5
    assert np.isnan(clusters.distances[~inside]).all()


def test_numbers_do_not_depend_on_the_names_that_a_method_gives() -> None:
    assert by_size(np.array([7, 7, 3, -1, 9, 3, 3])).tolist() == [1, 1, 0, -1, 2, 0, 0]
    assert by_size(np.array([5, 4, 4, 5])).tolist() == [0, 1, 1, 0]


def test_guidance_finds_the_true_number() -> None:
    told = guidance(POINTS, max_clusters=8)
    assert told.best_silhouette == 3
    assert told.elbow == 3
    assert told.table["num_clusters"].tolist() == list(range(2, 9))
    with pytest.raises(ValueError, match="too few"):
        guidance(np.zeros((10, 2), np.float32))


def test_few_equal_or_broken_windows_make_no_trouble() -> None:
    for num in range(6):
        for config in CONFIGS:
            clusters = group(POINTS[:num], config)
            assert len(clusters.numbers) == num
    one = group(np.ones((20, 3), np.float32), KMeansConfig(num_clusters=4))
    assert one.num_clusters == 1
    assert "1 clusters, not 4" in one.notes[0].en
    broken = POINTS.copy()
    broken[5] = np.nan
    assert group(broken, CONFIGS[0]).numbers[5] == -1
    assert "smaller size" in group(POINTS[:5], CONFIGS[1]).notes[0].en


def test_agreement_counts_only_windows_with_both() -> None:
    numbers = np.array([0, 0, 1, 1, -1, 1])
    labels = ["a", "a", "b", "b", "a", ""]
    told = agreement(numbers, labels)
    assert told.num_windows == 4
    assert told.rand == told.mutual_information == pytest.approx(1)
    assert np.isnan(agreement(numbers, [""] * 6).rand)


def test_the_table_tells_of_each_cluster() -> None:
    clusters = group(POINTS, CONFIGS[0])
    windows = pd.DataFrame(
        {"recording": [f"r{i % 7}" for i in range(110)], "site": ["n" if i < 60 else "s" for i in range(110)]}
    )
    labels = ["owl" if i < 45 else "rain" if i < 60 else "" for i in range(110)]
    table = cluster_table(clusters, windows, labels)
    assert table["size"].tolist() == [60, 30, 20]
    assert table["sites"].tolist() == [1, 1, 1]
    assert table["commonest_label"].tolist() == ["owl", "", ""]
    assert table["label_share"][0] == pytest.approx(0.75)
    assert table["share"].sum() == pytest.approx(1)
