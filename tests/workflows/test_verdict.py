"""The verdict: keep, discard or undecided, by a rule that has no other inputs than what was measured."""

import math
import re

import pytest

from bioacoustics.formats.words import Language
from bioacoustics.training.probes import Interval
from bioacoustics.workflows.verdict import RULE, Verdict, points, verdict_of


def of(low: float, high: float, **changes: float) -> Verdict:
    settings = {"num_recordings": 40, "rank_before": 20.0, "rank_after": 18.0, **changes}
    difference = Interval(value=(low + high) / 2, low=low, high=high)
    return verdict_of(difference, evidence="labels", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (0.01, 0.05, "keep"),
        (-0.05, -0.01, "discard"),
        (-0.01, 0.03, "undecided"),
        (0.0, 0.03, "undecided"),
        (0.0, 0.0, "undecided"),
    ],
)
def test_the_interval_decides(low: float, high: float, decision: str) -> None:
    assert of(low, high).decision == decision


def test_collapse_outweighs_a_gain() -> None:
    assert of(0.01, 0.05, rank_after=5.1).decision == "keep"
    collapsed = of(0.01, 0.05, rank_after=4.9)
    assert (collapsed.decision, collapsed.is_collapsed) == ("discard", True)
    assert "collapsed (effective rank 20.0 → 4.9)" in collapsed.reason("en")


def test_too_few_recordings_decide_nothing() -> None:
    few = of(0.01, 0.05, num_recordings=4)
    assert few.decision == "undecided"
    assert "only 4 recordings can judge" in few.reason("en")
    nothing = verdict_of(
        Interval(value=math.nan, low=math.nan, high=math.nan),
        evidence="neighbours",
        num_recordings=0,
        rank_before=3.0,
        rank_after=3.0,
    )
    assert nothing.decision == "undecided"
    assert nothing.more_recordings is None


def test_says_how_many_recordings_would_decide() -> None:
    # Twice the distance to 0 on the lower side: four times the recordings, and a tenth to be sure.
    undecided = of(-0.01, 0.03)
    assert undecided.more_recordings == math.ceil(1.1 * 4 * 40)
    assert "about 176 labelled recordings in all would decide" in undecided.reason("en")
    assert of(-0.03, 0.01).more_recordings == undecided.more_recordings
    assert of(-0.030, 0.031).more_recordings is None
    assert "too small for more data" in of(-0.030, 0.031).reason("en")
    assert of(0.01, 0.03).more_recordings is None


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_sentence_holds_the_numbers(language: Language) -> None:
    for low, high in ((0.01, 0.05), (-0.05, -0.01), (-0.01, 0.03)):
        sentence = of(low, high).reason(language)
        for number in (low, high, (low + high) / 2):
            assert f"{100 * number:+.1f}" in sentence
        assert re.fullmatch(r"[^.]*(\.\d[^.]*)*\.", sentence.replace("95 %", "")), sentence
    weak = verdict_of(
        Interval(value=0.03, low=0.01, high=0.05),
        evidence="neighbours",
        num_recordings=40,
        rank_before=2.0,
        rank_after=2.0,
    )
    assert {"en": "weaker evidence", "es": "más débil"}[language] in weak.reason(language)
    assert "95 %" in RULE[language]


def test_a_rounded_nothing_is_not_negative() -> None:
    assert (points(-0.0001), points(0.0001), points(-0.012)) == ("+0.0", "+0.0", "-1.2")
