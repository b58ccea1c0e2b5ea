"""Probes: slow versions agree, folds do not leak, intervals of differences are paired."""

import numpy as np
import pytest
import scipy.spatial.distance
import torch
from sklearn.metrics import average_precision_score

from bioacoustics.training.attentive import attentive_probe
from bioacoustics.training.linear import linear_probe
from bioacoustics.training.probes import (
    Interval,
    ProbeTask,
    difference_of,
    effective_rank,
    interval_of,
    mel_statistics,
    nearest_probe,
    neighbour_consistency,
    retrieval,
)


def task_of(num_groups: int, clips_each: int, num_classes: int, *, seed: int = 0) -> ProbeTask:
    """Recordings of some clips each; every clip draws its own label, so that a recording tells nothing."""
    generator = np.random.default_rng(seed)
    groups = [f"g{group}" for group in range(num_groups) for _ in range(clips_each)]
    targets = np.eye(num_classes)[generator.integers(num_classes, size=len(groups))]
    return ProbeTask.of(targets, groups, multi_label=False)


def several_of(task: ProbeTask) -> ProbeTask:
    targets = np.maximum(task.targets, np.roll(task.targets, 1, axis=0))
    return ProbeTask(targets=targets, groups=task.groups, folds=task.folds, multi_label=True)


def separable(task: ProbeTask, *, noise: float = 0.05) -> np.ndarray:
    generator = np.random.default_rng(1)
    directions = generator.normal(size=(task.targets.shape[1], 12))
    return task.targets @ directions + generator.normal(size=(len(task.targets), 12)) * noise


@pytest.mark.parametrize("multi_label", [False, True])
def test_nearest_is_brute_force(multi_label: bool) -> None:
    task = task_of(12, 3, 4)
    task = several_of(task) if multi_label else task
    features = np.random.default_rng(2).normal(2.0, 3.0, (36, 7))
    result = nearest_probe(features, task, num_neighbours=5)
    assert result.predictions is not None
    for clip in range(36):
        others = [other for other in range(36) if task.folds[other] != task.folds[clip]]
        mean, std = features[others].mean(axis=0), features[others].std(axis=0)
        here = (features[clip] - mean) / std
        cosines = {
            other: 1 - scipy.spatial.distance.cosine(here, (features[other] - mean) / std) for other in others
        }
        nearest = sorted(others, key=lambda other: -cosines[other])[:5]
        weights = np.array([np.exp(cosines[other] / 0.07) for other in nearest])
        expected = sum(w * task.targets[n] for w, n in zip(weights / weights.sum(), nearest, strict=True))
        np.testing.assert_allclose(result.predictions[clip], expected, atol=1e-9)
    assert result.measure == ("mean_average_precision" if multi_label else "accuracy")


@pytest.mark.parametrize("multi_label", [False, True])
def test_retrieval_never_counts_clips_of_the_same_recording(multi_label: bool) -> None:
    task = task_of(10, 3, 3)
    task = several_of(task) if multi_label else task
    features = np.random.default_rng(3).normal(size=(30, 6))
    normed = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = []
    for query in range(30):
        others = [other for other in range(30) if task.groups[other] != task.groups[query]]
        answers = [bool((task.targets[other] * task.targets[query]).any()) for other in others]
        cosines = [1 - scipy.spatial.distance.cosine(normed[query], normed[other]) for other in others]
        expected.append(average_precision_score(answers, cosines) if any(answers) else np.nan)
    np.testing.assert_allclose(retrieval(features, task).per_clip, expected)
    # Features that only tell the recording find nothing: their nearest neighbours are not asked.
    recordings = np.eye(10)[task.groups] + 1e-3 * features[:, :1]
    assert retrieval(recordings, task).value < np.nanmean(expected) + 0.1


def test_a_label_that_one_recording_has_asks_nothing() -> None:
    targets = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    task = ProbeTask.of(targets, ["a", "b", "c", "d", "e", "e"], multi_label=False, num_folds=2)
    result = retrieval(targets + 0.01 * np.arange(6)[:, None], task)
    assert result.per_clip is not None
    assert np.isnan(result.per_clip[4:]).all()
    assert result.value == pytest.approx(np.nanmean(result.per_clip[:4]))


@pytest.mark.parametrize("multi_label", [False, True])
def test_every_probe_finds_what_is_there(multi_label: bool) -> None:
    task = task_of(25, 2, 3)
    task = several_of(task) if multi_label else task
    features = separable(task)
    patches = torch.from_numpy(features)[:, None].float().repeat(1, 3, 1)
    results = [nearest_probe(features, task), linear_probe(features, task), attentive_probe(patches, task)]
    assert min(result.value for result in results) > 0.95
    assert retrieval(features, task).value > 0.8


def test_a_feature_that_tells_the_recording_does_not_help() -> None:
    # Each recording has one label: whoever knew the recording would know the label.
    num_groups, clips_each = 30, 4
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(num_groups), clips_each)
    targets = np.eye(3)[np.repeat(generator.integers(3, size=num_groups), clips_each)]
    task = ProbeTask.of(targets, [str(group) for group in groups], multi_label=False)
    voices = generator.normal(size=(num_groups, 8))[groups]
    features = voices + 0.01 * generator.normal(size=(len(groups), 8))
    patches = torch.from_numpy(features)[:, None].float()
    results = [nearest_probe(features, task), linear_probe(features, task), attentive_probe(patches, task)]
    leaking = ProbeTask(targets=targets, groups=np.arange(120), folds=np.arange(120) % 5, multi_label=False)
    assert nearest_probe(features, leaking).value > 0.95  # divided by clip, it looks solved
    chance = 1 / 3
    for result in results:
        assert abs(result.value - chance) < 0.22
        low, high = interval_of(result).low, interval_of(result).high
        assert low < chance + 0.1 < high + 0.1
    assert retrieval(features, task).value < 0.5


def test_random_labels_give_chance() -> None:
    task = task_of(100, 2, 4)
    features = np.random.default_rng(5).normal(size=(200, 10))
    patches = torch.from_numpy(features)[:, None].float()
    results = [nearest_probe(features, task), linear_probe(features, task), attentive_probe(patches, task)]
    assert all(abs(result.value - 0.25) < 0.1 for result in results)


def test_folds_that_would_leak_are_refused() -> None:
    targets = np.eye(2)[[0, 1, 0, 1]]
    with pytest.raises(ValueError, match=r"clips of one recording \(group 1\) are in the folds \[0, 1\]"):
        ProbeTask(
            targets=targets, groups=np.array([0, 1, 1, 2]), folds=np.array([0, 0, 1, 1]), multi_label=False
        )
    with pytest.raises(ValueError, match="all labelled clips belong to one recording"):
        ProbeTask.of(targets, ["a"] * 4, multi_label=False)
    with pytest.raises(ValueError, match="nothing to tell it from"):
        ProbeTask.of(np.ones((4, 1)), list("abcd"), multi_label=False)
    with pytest.raises(ValueError, match="one label a clip"):
        ProbeTask.of(np.ones((4, 2)), list("abcd"), multi_label=False)
    with pytest.raises(ValueError, match="two or more"):
        ProbeTask(targets=targets, groups=np.arange(4), folds=np.zeros(4, dtype=int), multi_label=False)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_difference_is_drawn_in_pairs(multi_label: bool) -> None:
    task = task_of(60, 2, 4)
    task = several_of(task) if multi_label else task
    worse, better = separable(task, noise=2.5), separable(task, noise=1.2)
    before, after = nearest_probe(worse, task), nearest_probe(better, task)
    same = difference_of([before], [before], num_draws=200)
    assert same == Interval(value=0.0, low=0.0, high=0.0)
    found = difference_of([before], [after], num_draws=300)
    assert found.value == pytest.approx(after.value - before.value)
    assert found.low < found.value < found.high
    # Slowly: whole recordings drawn with replacement, both scored on the same clips.
    generator, drawn = np.random.default_rng(7), []
    for _ in range(300):
        chosen = np.concatenate([np.flatnonzero(task.groups == g) for g in generator.integers(60, size=60)])
        drawn.append(after.over(chosen) - before.over(chosen))
    assert found.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.03)
    assert found.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.03)
    with pytest.raises(ValueError, match="same clips"):
        other = task_of(60, 2, 4, seed=9)
        difference_of([before], [nearest_probe(better, several_of(other) if multi_label else other)])


def test_a_difference_of_two_probes_is_the_mean_of_their_differences() -> None:
    task = task_of(30, 2, 3)
    worse, better = separable(task, noise=2.0), separable(task, noise=0.5)
    before = [nearest_probe(worse, task), retrieval(worse, task)]
    after = [nearest_probe(better, task), retrieval(better, task)]
    expected = np.mean([b.value - a.value for a, b in zip(before, after, strict=True)])
    assert difference_of(before, after, num_draws=50).value == pytest.approx(expected)


def test_mel_statistics_are_what_they_are_called() -> None:
    log_mel = torch.randn(2, 40, 8)
    mean, std, high, change = mel_statistics(log_mel).numpy().reshape(2, 4, 8).swapaxes(0, 1)
    rows = log_mel.numpy()
    np.testing.assert_allclose(mean, rows.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(std, rows.std(axis=1), atol=1e-6)
    np.testing.assert_allclose(high, np.percentile(rows, 95, axis=1), atol=1e-5)
    np.testing.assert_allclose(change, np.diff(rows, axis=1).std(axis=1), atol=1e-6)
    assert torch.isfinite(mel_statistics(log_mel[:, :1])).all()


def test_neighbour_consistency_is_not_fooled_by_the_recorder() -> None:
    generator = np.random.default_rng(6)
    recordings, positions = np.repeat(np.arange(40), 6), np.tile(np.arange(6), 40)
    recorder = 5 * generator.normal(size=(40, 8))[recordings]
    noise = generator.normal(size=(240, 8))
    assert abs(neighbour_consistency(recorder + noise, recordings, positions).value - 0.5) < 0.05
    # A call that goes from one window over into the next is found.
    lasting = np.repeat(generator.normal(size=(120, 8)), 2, axis=0)
    result = neighbour_consistency(recorder + noise + 2 * lasting, recordings, positions)
    assert result.value > 0.6
    assert interval_of(result).low > 0.5


def test_neighbour_consistency_is_brute_force_and_needs_three_windows() -> None:
    features = np.random.default_rng(8).normal(size=(7, 5))
    recordings, positions = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 3, 0, 1, 0])
    shares = neighbour_consistency(features, recordings, positions).per_clip
    assert shares is not None
    assert np.isnan(shares[4:]).all()
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    for window in range(4):
        cosine = [1 - scipy.spatial.distance.cosine(rows[window], row) for row in rows[:4]]
        near = [other for other in range(4) if abs(other - window) == 1]
        far = [other for other in range(4) if abs(other - window) > 1]
        assert shares[window] == pytest.approx(np.mean([cosine[n] > cosine[f] for n in near for f in far]))


def test_effective_rank_counts_directions() -> None:
    generator = np.random.default_rng(9)
    assert effective_rank(np.full((20, 5), 3.0)) == 0
    assert effective_rank(np.outer(generator.normal(size=50), [1.0, 2.0, 3.0])) == pytest.approx(1, abs=1e-6)
    assert effective_rank(generator.normal(size=(4000, 6))) == pytest.approx(6, abs=0.01)
