"""What components follow is found, and sites that are told better than species are warned of."""

import numpy as np
import pandas as pd
import pytest

from bioacoustics.explorer.confounding import (
    component_table,
    confounders,
    correlations,
    extremes,
    loadings,
)
from bioacoustics.explorer.principal import fit_components

NUM = 480
RECORDING = np.arange(NUM) // 20  # 24 recordings
SITE = RECORDING % 3
SPECIES = np.random.default_rng(5).integers(0, 2, NUM)
WINDOWS = pd.DataFrame(
    {
        "recording": [f"r{i:02d}" for i in RECORDING],
        "site": [f"s{i}" for i in SITE],
        "hour": (RECORDING * 7.0) % 24,
        "start_s": 5.0 * (np.arange(NUM) % 20),
    }
)
LABELS = [f"species {i}" for i in SPECIES]


def points_of(site: float, species: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places, voices = rng.normal(size=(3, 6)), rng.normal(size=(2, 6))
    points = site * places[SITE] + species * voices[SPECIES] + rng.normal(size=(NUM, 6))
    return points.astype(np.float32)


def test_a_site_that_is_told_better_than_the_species_is_warned_of() -> None:
    report = confounders(points_of(site=3, species=0.5), WINDOWS, LABELS)
    known = {told.what: told for told in report.answers}
    assert known["site"].skill > 0.9
    assert known["site"].chance == pytest.approx(1 / 3)
    assert known["labels"].skill < 0.6
    assert any("site" in warning.en and "el sitio" in warning.es for warning in report.warnings)
    good = confounders(points_of(site=0, species=4), WINDOWS, LABELS)
    assert good.answers[0].what == "labels"
    assert good.answers[0].skill > 0.9
    assert not good.warnings


def test_vectors_without_anything_in_them_tell_nothing() -> None:
    report = confounders(points_of(site=0, species=0), WINDOWS, LABELS)
    assert {told.what for told in report.answers} == {"labels", "site", "recording", "hour"}
    for told in report.answers:
        assert abs(told.skill) < 0.2, told
    assert all(
        told.held_out == ("stretch" if told.what == "recording" else "recording") for told in report.answers
    )


def test_what_cannot_be_asked_is_named() -> None:
    one_site = WINDOWS.assign(site="s", hour=np.nan, recorder="a")
    report = confounders(points_of(1, 1), one_site, [""] * NUM)
    assert set(report.not_asked) == {"labels", "site", "hour", "recorder"}
    assert not report.warnings
    assert confounders(points_of(1, 1)[:3], WINDOWS[:3], LABELS[:3]).answers == ()


def test_components_that_follow_something_are_found() -> None:
    rng = np.random.default_rng(0)
    loudness = rng.normal(size=NUM)
    principal = rng.normal(size=(NUM, 4))
    principal[:, 0] = np.exp(loudness)  # a monotonous function of it
    principal[:, 1] = np.cos((WINDOWS["hour"] - 5) * 2 * np.pi / 24)
    principal[:, 2] = SITE + 0.1 * rng.normal(size=NUM)
    table = correlations(principal.astype(np.float32), WINDOWS, {"loudness": loudness})
    strength = table.set_index(["component", "what"])["strength"]
    assert strength[1, "loudness"] == pytest.approx(1)
    assert strength[2, "hour"] > 0.999
    assert strength[3, "site"] > 0.98
    assert strength[3, "recording"] > 0.98
    assert strength[4].max() < 0.2
    assert correlations(principal[:1].astype(np.float32), WINDOWS[:1])["strength"].isna().all()


def test_extremes_loadings_and_shares() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 5)) * [5, 1, 1, 1, 1]
    components = fit_components(vectors, 3, scaling="none")
    principal = components.apply(vectors)
    low, high = extremes(principal, 1, 4)
    assert low.tolist() == np.argsort(principal[:, 0])[:4].tolist()
    assert high[0] == principal[:, 0].argmax()
    assert loadings(components, 1)["dimension"].iloc[0] == 0
    table = component_table(components)
    assert table["component"].tolist() == [1, 2, 3]
    assert table["cumulative"].iloc[-1] == pytest.approx(components.explained.sum())
