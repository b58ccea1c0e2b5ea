import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from toy import limit_file_size

from bioacoustics.objectives.objective import Losses
from bioacoustics.training.metrics import (
    MetricsFile,
    RunningMeans,
    accuracy,
    average_precisions,
    bootstrap_interval,
    classification_scores,
    read_metrics,
)


def losses(total: float, weight: float, **terms: float) -> Losses:
    return Losses(
        total=torch.tensor(total),
        weight=torch.tensor(weight),
        terms={name: torch.tensor(value) for name, value in terms.items()},
    )


def test_means_are_weighted_and_start_anew() -> None:
    means = RunningMeans(torch.device("cpu"))
    assert means.means() == {}
    means.add(losses(1.0, 1.0, frame=4.0))
    means.add(losses(4.0, 3.0, frame=0.0))
    assert means.means() == {"loss": 3.25, "frame": 1.0}
    other = RunningMeans(torch.device("cpu"))
    other.merge(means.state_dict())
    for one in (means, other):
        one.add(losses(0.0, 4.0, frame=0.0))
    assert other.means() == means.means() == {"loss": 1.625, "frame": 0.5}
    means.reset()
    means.add(losses(7.0, 0.0))
    assert means.means() == {"loss": 0.0}


def test_metrics_file_forgets_what_is_done_again(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    assert file.rows() == []
    for update in (10, 20, 30):
        file.append({"update": update, "loss": 1 / update})
    with (tmp_path / "metrics.jsonl").open("a") as torn:
        torn.write('{"update": 40, "lo')
    assert [row["update"] for row in file.rows()] == [10, 20, 30]
    file.keep_until(20)
    file.append({"update": 30, "loss": 0.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_metrics(tmp_path)
    assert read_metrics(tmp_path) == [
        {"update": 10, "loss": 0.1},
        {"update": 20, "loss": 0.05},
        {"update": 30, "loss": 0.5},
    ]


def test_metrics_file_makes_up_for_a_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    file = MetricsFile(tmp_path / "metrics.jsonl")
    rows = [{"update": update, "loss": 1 / 3} for update in range(1, 10)]
    for row in rows[:3]:
        file.append(row)
    limit_file_size(len((tmp_path / "metrics.jsonl").read_bytes()) + 5)
    try:
        for row in rows[3:6]:
            with pytest.raises(OSError, match="too large"):
                file.append(row)
            assert file.rows() == rows[:3]
    finally:
        limit_file_size(None)
    for row in rows[6:]:
        file.append(row)
    assert file.rows() == rows


def test_average_precision_is_that_of_the_official_run(golden_eat: Path) -> None:
    with np.load(golden_eat / "map.npz") as golden:
        targets, scores, expected = golden["targets"], golden["scores"], golden["ap"]
        mean = golden["map"]
    found = average_precisions(targets, scores)
    np.testing.assert_allclose(found[:8], expected[:8], rtol=1e-6)
    # Class 8 is never present: the scikit-learn of that run said 0, which then entered the mean.
    assert math.isnan(found[8])
    assert expected[8] == 0
    assert np.nan_to_num(found).mean() == pytest.approx(float(mean), rel=1e-6)
    assert classification_scores(targets, scores)["mean_average_precision"] == pytest.approx(
        float(expected[:8].mean()), rel=1e-6
    )


@pytest.mark.parametrize("num_levels", [2, 5, 1000])
def test_average_precision_equals_scikit_learn(num_levels: int) -> None:
    generator = np.random.default_rng(num_levels)
    targets = (generator.random((40, 6)) < 0.3).astype(np.float32)
    scores = generator.integers(num_levels, size=(40, 6)) / num_levels
    # Clips that come several times, as in the draws of an interval, must be counted as often.
    drawn = np.repeat(np.arange(40), generator.integers(0, 4, size=40))
    for rows in (np.arange(40), drawn):
        expected = [average_precision_score(targets[rows, c], scores[rows, c]) for c in range(6)]
        np.testing.assert_allclose(average_precisions(targets[rows], scores[rows]), expected, rtol=1e-9)


def test_accuracy_counts_any_of_the_labels() -> None:
    targets = np.array([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
    scores = np.array([[0.1, 0.2, 0.9], [0.9, 0.1, 0.0], [0.0, 0.1, 0.2]])
    assert accuracy(targets, scores) == pytest.approx(2 / 3)


def test_scores_without_any_label_are_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classification_scores(np.zeros((3, 2)), np.ones((3, 2))) == {
            "mean_average_precision": 0.0,
            "accuracy": 0.0,
        }


def test_interval_covers_the_spread_of_groups() -> None:
    generator = np.random.default_rng(0)
    # 40 recordings of 5 clips that are all right or all wrong: 200 clips, but only 40 witnesses.
    right = np.repeat(generator.random(40) < 0.7, 5).astype(float)
    groups = np.repeat(np.arange(40), 5)
    low, high = bootstrap_interval(lambda drawn: float(right[drawn].mean()), groups)
    spread = 1.96 * math.sqrt(0.7 * 0.3 / 40)
    assert low < right.mean() < high
    assert (high - low) / 2 == pytest.approx(spread, rel=0.15)
    assert bootstrap_interval(lambda drawn: float(right[drawn].mean()), groups) == (low, high)
