"""What is taught is told apart on recordings that did not teach it, and is a linear head."""

import numpy as np
import pytest

from bioacoustics.explorer.teaching import TeachConfig, growth, layer_normed, teach

RNG = np.random.default_rng(0)
WIDTH = 24
VOICES = RNG.normal(size=(2, WIDTH))
TRUE = RNG.integers(0, 3, 400)  # 0 and 1 are animals, 2 nothing
SITES = RNG.normal(size=(8, WIDTH))
RECORDING = np.arange(400) % 8
VECTORS = (
    np.vstack([VOICES, np.zeros((1, WIDTH))])[TRUE]
    + 0.5 * SITES[RECORDING]
    + 0.4 * RNG.normal(size=(400, WIDTH))
).astype(np.float16)
RECORDINGS = [f"r{i}" for i in RECORDING]
LABELS = ("owl", "rain")


def targets_for(labelled: np.ndarray) -> np.ndarray:
    targets = np.full((400, 2), np.nan, np.float32)
    targets[labelled] = 0
    for column in (0, 1):
        targets[labelled[TRUE[labelled] == column], column] = 1
    return targets


@pytest.mark.parametrize("method", ["linear", "prototype"])
def test_a_handful_of_labels_tells_the_rest(method: str) -> None:
    labelled = np.arange(60)
    taught = teach(VECTORS, LABELS, targets_for(labelled), RECORDINGS, TeachConfig(method=method))
    probabilities = taught.probabilities(VECTORS[60:])
    for column in (0, 1):
        is_there = TRUE[60:] == column
        assert probabilities[is_there, column].mean() > 0.7
        assert probabilities[~is_there, column].mean() < 0.3
        above = probabilities[:, column] >= taught.thresholds[column].value
        assert is_there[above].mean() > 0.8
        judgement = taught.judgements[column]
        assert judgement.num_present == (TRUE[labelled] == column).sum()
        assert judgement.average_precision > 0.85
    again = teach(VECTORS, LABELS, targets_for(labelled), RECORDINGS, TeachConfig(method=method))
    assert np.array_equal(again.weights, taught.weights)


def test_it_is_a_layer_norm_and_one_linear_layer() -> None:
    torch = pytest.importorskip("torch")
    taught = teach(VECTORS, LABELS, targets_for(np.arange(40)), RECORDINGS)
    rows = torch.from_numpy(VECTORS.astype(np.float32))
    normed = torch.nn.functional.layer_norm(rows, (WIDTH,), eps=1e-6)
    expected = torch.sigmoid(normed @ torch.from_numpy(taught.weights).T + torch.from_numpy(taught.bias))
    assert np.allclose(taught.probabilities(VECTORS), expected.numpy(), atol=1e-6)
    assert np.allclose(layer_normed(VECTORS), normed.numpy(), atol=1e-5)


def test_labels_that_say_nothing_judge_themselves_as_worthless() -> None:
    labelled = np.arange(80)
    targets = targets_for(labelled)
    shuffled = np.full_like(targets, np.nan)
    shuffled[labelled] = targets[RNG.permutation(labelled)]
    honest = teach(VECTORS, LABELS, shuffled, RECORDINGS)
    for column, judgement in enumerate(honest.judgements):
        prevalence = shuffled[labelled, column].mean()
        assert judgement.average_precision < prevalence + 0.25
        assert not honest.thresholds[column].is_reached or honest.thresholds[column].recall < 0.3


def test_a_recording_does_not_judge_what_it_taught() -> None:
    """The site alone tells the label: within a recording it is perfect, on others it is worth nothing."""
    rng = np.random.default_rng(2)
    vectors = (3 * SITES[RECORDING] + 0.1 * rng.normal(size=(400, WIDTH))).astype(np.float32)
    targets = np.full((400, 1), np.nan, np.float32)
    targets[:80, 0] = RECORDING[:80] % 2
    taught = teach(vectors, ("odd",), targets, RECORDINGS, TeachConfig(num_presumed=0))
    assert ((taught.probabilities(vectors)[:80, 0] > 0.5) == (targets[:80, 0] == 1)).mean() > 0.9
    assert taught.judgements[0].average_precision < 0.9


def test_one_label_without_anything_else_is_told_from_what_is_unlabelled() -> None:
    targets = np.full((400, 1), np.nan, np.float32)
    targets[np.flatnonzero(TRUE == 0)[:10]] = 1
    taught = teach(VECTORS, ("owl",), targets, RECORDINGS)
    scores = taught.logits(VECTORS)[:, 0]
    assert scores[TRUE == 0].mean() > scores[TRUE != 0].mean() + 1
    with pytest.raises(ValueError, match="nothing to tell 'owl' from"):
        teach(VECTORS, ("owl",), targets, RECORDINGS, TeachConfig(num_presumed=0))
    with pytest.raises(ValueError, match="at least one window"):
        teach(VECTORS, (), np.zeros((400, 0), np.float32), RECORDINGS)
    single = np.full((400, 1), np.nan, np.float32)
    single[5] = 1
    assert np.isnan(teach(VECTORS, ("owl",), single, RECORDINGS).judgements[0].average_precision)
    assert "one recording" in teach(VECTORS, ("owl",), single, RECORDINGS).notes[0].en


def test_more_labels_judge_better_or_alike() -> None:
    order = RNG.permutation(80)
    table = growth(VECTORS, LABELS, targets_for(np.arange(80)), RECORDINGS, order)
    assert table["num_labelled"].unique().tolist() == [20, 40, 60, 80]
    owls = table[table["label"] == "owl"]
    assert owls["average_precision"].iloc[-1] > 0.85
    assert owls["average_precision"].iloc[-1] >= owls["average_precision"].iloc[0] - 0.1
