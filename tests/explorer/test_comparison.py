"""Two models are compared on the windows they share; maps are laid onto each other."""

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.collection import read_collection
from bioacoustics.explorer.comparison import aligned, compare, matched, nearest
from bioacoustics.store.database import Store

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 5)).astype(np.float32)
WINDOWS = pd.DataFrame(
    {
        "recording": [f"r{i % 10}" for i in range(200)],
        "site": [f"s{i % 2}" for i in range(200)],
        "hour": np.nan,
        "start_s": 5.0 * (np.arange(200) // 10),
    }
)
LABELS = ["up" if x > 0 else "down" for x in POINTS[:, 0]]


def test_the_same_neighbours_overlap_wholly_and_others_by_chance() -> None:
    turned = POINTS @ np.linalg.qr(RNG.normal(size=(5, 5)))[0].astype(np.float32)
    same = compare(POINTS, turned, WINDOWS, LABELS)
    assert same.mean_overlap > 0.999
    noise = RNG.normal(size=(200, 5)).astype(np.float32)
    other = compare(POINTS, noise, WINDOWS, LABELS)
    assert other.mean_overlap == pytest.approx(other.chance, abs=0.03)
    skills = [
        {told.what: told.skill for told in report.answers}["labels"] for report in (other.one, other.other)
    ]
    assert skills[0] > 0.5
    assert abs(skills[1]) < 0.25
    with pytest.raises(ValueError, match="on the same"):
        compare(POINTS, POINTS[:5], WINDOWS, LABELS)


def test_neighbours_are_the_nearest() -> None:
    distances = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(np.argsort(distances, axis=1)[:, :3], axis=1)
    assert np.array_equal(np.sort(nearest(POINTS, 3), axis=1), expected)


def test_a_turned_map_is_laid_back() -> None:
    onto = POINTS[:, :2]
    angle = 2.0
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])  # with a mirror
    moved = (7 * onto @ turn + [3, -5]).astype(np.float32)
    moved[4] = np.nan
    back = aligned(moved, onto)
    assert back.disparity < 1e-9
    assert np.allclose(np.delete(back.coordinates, 4, axis=0), np.delete(onto, 4, axis=0), atol=1e-4)
    assert aligned(RNG.normal(size=(200, 2)).astype(np.float32), onto).disparity > 0.9


def test_windows_in_common_are_found_by_place(make_store: Callable[..., Store]) -> None:
    noon = datetime(2026, 3, 1, 12)
    recordings = {name: ("n", noon, RNG.normal(size=(6, 4))) for name in ("r0", "r1")}
    one = read_collection(make_store(recordings, "one.lance").location)
    fewer = {"r1": ("n", noon, RNG.normal(size=(4, 9)))}
    other = read_collection(make_store(fewer, "other.lance").location)
    here, there = matched(one, other)
    assert one.windows["id"][here].tolist() == other.windows["id"][there].tolist()
    assert len(here) == 4
    strange = read_collection(make_store({"r9": ("n", noon, RNG.normal(size=(4, 9)))}, "x.lance").location)
    with pytest.raises(ValueError, match="0 windows in common"):
        matched(one, strange)
