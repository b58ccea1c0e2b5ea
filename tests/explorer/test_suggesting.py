"""Suggestions ask about what is uncertain, likely or far from everything, and not twice about one bout."""

import numpy as np
import pytest

from bioacoustics.explorer.judging import Threshold
from bioacoustics.explorer.suggesting import suggestions
from bioacoustics.explorer.teaching import Taught, layer_normed

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(200, 8)).astype(np.float32)
RECORDINGS = [f"r{i // 50}" for i in range(200)]
HALF = Threshold(value=0.5, precision=1.0, lowest_precision=0.5, recall=1.0, is_reached=True)
TAUGHT = Taught(
    labels=("owl",),
    weights=np.eye(1, 8, dtype=np.float32),
    bias=np.zeros(1, np.float32),
    thresholds=(HALF,),
    judgements=(),
    notes=(),
)
LABELLED = np.zeros(200, bool)
LABELLED[:20] = True


def test_each_kind_keeps_its_promise() -> None:
    logits = TAUGHT.logits(VECTORS)[:, 0]
    uncertain = suggestions(TAUGHT, VECTORS, LABELLED, RECORDINGS, "uncertain", num=8)
    likely = suggestions(TAUGHT, VECTORS, LABELLED, RECORDINGS, "likely", num=8, label="owl")
    free = np.flatnonzero(~LABELLED)
    assert np.abs(logits[uncertain]).max() <= np.sort(np.abs(logits[free]))[31]
    assert logits[likely].min() >= np.sort(logits[free])[-32]
    assert free[np.argmax(logits[free])] in likely
    for chosen in (uncertain, likely):
        assert not LABELLED[chosen].any()
        assert len(set(chosen)) == 8
        assert len({RECORDINGS[i] for i in chosen[:3]}) == 3  # three recordings before a second of one


def test_diverse_windows_are_far_from_what_is_known_and_from_each_other() -> None:
    chosen = suggestions(None, VECTORS, LABELLED, RECORDINGS, "diverse", num=5)
    rows = layer_normed(VECTORS)
    known = list(np.flatnonzero(LABELLED))
    for position in chosen:  # slowly, as the rule says
        free = [i for i in range(200) if i not in known]
        distances = [min(np.linalg.norm(rows[i] - rows[j]) for j in known) for i in free]
        assert position == free[int(np.argmax(distances))]
        known.append(position)


def test_without_labels_or_without_windows() -> None:
    nothing = np.zeros(200, bool)
    assert len(suggestions(None, VECTORS, nothing, RECORDINGS, "diverse", num=300)) == 200
    assert len(suggestions(None, VECTORS, ~nothing, RECORDINGS, "diverse")) == 0
    assert len(suggestions(TAUGHT, VECTORS, ~nothing, RECORDINGS, "likely")) == 0
    with pytest.raises(ValueError, match="label some windows first"):
        suggestions(None, VECTORS, nothing, RECORDINGS, "uncertain")
