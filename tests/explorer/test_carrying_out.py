"""What a process answers is what the functions say, readable again, with its steps told in order."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from bioacoustics.explorer.answers import (
    clusters_of,
    map_with,
    read_answer,
    report_of,
    table_of,
    taught_of,
)
from bioacoustics.explorer.carrying_out import carry_out
from bioacoustics.explorer.comparison import compare
from bioacoustics.explorer.confounding import confounders, correlations
from bioacoustics.explorer.fitted_map import FittedMap, PCAConfig
from bioacoustics.explorer.grouping import KMeansConfig, group
from bioacoustics.explorer.principal import fit_components
from bioacoustics.explorer.projection import fit_map
from bioacoustics.explorer.requests import (
    AnyRequest,
    CompareRequest,
    GroupRequest,
    GrowthRequest,
    MapRequest,
    PlaceRequest,
    ReportRequest,
    SurveyRequest,
    TeachRequest,
    answer_path,
    kept_table,
)
from bioacoustics.explorer.steps import Step
from bioacoustics.explorer.teaching import TeachConfig, growth, teach

RNG = np.random.default_rng(0)
KINDS = np.arange(120) % 3
VECTORS = (np.eye(12)[KINDS] * 3 + RNG.normal(0, 0.5, (120, 12))).astype(np.float16)
RECORDINGS = np.array([f"r{i % 6}" for i in range(120)])
Ask = Callable[[AnyRequest], Path]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def asked(request: AnyRequest) -> Path:
        told: list[float] = []
        path = answer_path(request, tmp_path / "caché")
        carry_out(request, path, lambda share, step: told.append(share) if isinstance(step, Step) else None)
        assert told == sorted(told)
        return path

    return asked


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    np.save(tmp_path / "vectors-a.npy", VECTORS)
    np.save(tmp_path / "recordings-a.npy", RECORDINGS)
    return tmp_path / "vectors-a.npy", tmp_path / "recordings-a.npy"


def test_a_classifier_comes_back_as_it_was_taught(ask: Ask, files: tuple[Path, Path], tmp_path: Path) -> None:
    order = RNG.permutation(40)
    targets = np.full((120, 2), np.nan, np.float32)
    targets[order] = np.column_stack([KINDS[order] == 0, KINDS[order] == 1])
    table = pd.DataFrame(targets[order], columns=["label ñu", "label position"])
    table.insert(0, "position", order)
    asked = {
        "vectors": files[0],
        "recordings": files[1],
        "said": kept_table(table, tmp_path),
        "config": TeachConfig(strength=1.0),
    }
    names, config = ("ñu", "position"), TeachConfig(strength=1.0)
    found = taught_of(read_answer(ask(TeachRequest(**asked))))
    expected = teach(VECTORS, names, targets, RECORDINGS.tolist(), config)
    assert found.labels == names
    assert np.array_equal(found.weights, expected.weights)
    assert found.thresholds == expected.thresholds
    assert found.judgements == expected.judgements
    assert found.notes == expected.notes
    grown = table_of(read_answer(ask(GrowthRequest(**asked))))
    expected_growth = growth(VECTORS, names, targets, RECORDINGS.tolist(), order, config)
    pd.testing.assert_frame_equal(grown, expected_growth, check_dtype=False)


def test_a_report_is_of_the_windows_of_the_map_and_of_those_placed_on_it(
    ask: Ask, files: tuple[Path, Path], tmp_path: Path
) -> None:
    windows = pd.DataFrame(
        {
            "recording": RECORDINGS,
            "site": np.where(np.arange(120) % 6 < 3, "norte", "sur"),
            "recorder": "",
            "hour": np.arange(120) % 24.0,
            "start_s": 5.0 * np.arange(120),
            "labels": np.array(["ñu", "owl", ""])[KINDS],
            "loudness": RNG.normal(size=120),
        }
    )
    np.save(tmp_path / "vectors-first.npy", VECTORS[:80])
    np.save(tmp_path / "vectors-rest.npy", VECTORS[80:])
    mapped = ask(MapRequest(vectors=tmp_path / "vectors-first.npy", config=PCAConfig()))
    placed = ask(PlaceRequest(vectors=tmp_path / "vectors-rest.npy", map=mapped))
    path = ask(ReportRequest(map=mapped, placed=placed, windows=kept_table(windows, tmp_path)))
    fitted = FittedMap.load(mapped)
    points = np.concatenate([fitted.principal, fitted.components.apply(VECTORS[80:])])
    labels = windows["labels"].tolist()
    assert report_of(read_answer(path)) == confounders(points, windows, labels)
    follows = correlations(points, windows, {"loudness": windows["loudness"].to_numpy()}, num_components=8)
    pd.testing.assert_frame_equal(table_of(read_answer(path), "follows "), follows, check_dtype=False)


def test_a_comparison_is_of_the_windows_that_both_have(
    ask: Ask, files: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "vectors-b.npy"
    np.save(other, VECTORS[::-1])
    here = np.arange(0, 120, 2)
    table = pd.DataFrame({"here": here, "there": 119 - here, "recording": RECORDINGS[here]})
    table = table.assign(
        site="", hour=np.nan, start_s=1.0 * here, labels=np.array(["x", "y", ""])[KINDS[here]]
    )
    path = ask(CompareRequest(vectors=files[0], others=other, windows=kept_table(table, tmp_path)))
    points = fit_components(VECTORS[here]).apply(VECTORS[here])
    expected = compare(points, points, table, table["labels"].tolist())
    told = read_answer(path)
    assert float(told["overlap"]) == pytest.approx(expected.mean_overlap) == 1
    assert report_of(told, "one ") == expected.one == report_of(told, "other ")


def test_windows_that_come_later_join_the_clusters(
    ask: Ask, files: tuple[Path, Path], tmp_path: Path
) -> None:
    later = np.eye(12)[[0, 1, 2, 7]] * 3
    later[3] *= 50
    np.save(tmp_path / "vectors-later.npy", later.astype(np.float16))
    request = GroupRequest(
        vectors=files[0], config=KMeansConfig(num_clusters=3), others=tmp_path / "vectors-later.npy"
    )
    found = clusters_of(read_answer(ask(request)))
    alone = group(fit_components(VECTORS).apply(VECTORS), KMeansConfig(num_clusters=3))
    assert np.array_equal(found.numbers[:120], alone.numbers)
    assert np.array_equal(found.centroids, alone.centroids)
    number_of = {kind: alone.numbers[kind == KINDS][0] for kind in range(3)}
    assert found.numbers[120:123].tolist() == [number_of[kind] for kind in range(3)]
    if found.numbers[123] >= 0:  # unit length: far away means another direction
        assert found.distances[123] <= alone.distances[alone.numbers == found.numbers[123]].max()


def test_a_map_shows_what_is_placed_behind_its_own(
    ask: Ask, files: tuple[Path, Path], tmp_path: Path
) -> None:
    mapped = ask(MapRequest(vectors=files[0], config=PCAConfig()))
    waiting = map_with(mapped, None, 5)
    assert len(waiting.coordinates) == len(waiting.principal) == len(waiting.novelty) == 125
    assert np.isnan(waiting.coordinates[120:]).all()
    np.save(tmp_path / "vectors-later.npy", VECTORS[:5])
    placed = ask(PlaceRequest(vectors=tmp_path / "vectors-later.npy", map=mapped))
    shown = map_with(mapped, placed, 5)
    assert np.allclose(shown.coordinates[120:], shown.coordinates[:5], atol=1e-5)
    assert map_with(mapped, placed, 5) is shown
    assert len(fit_map(VECTORS, PCAConfig()).transform(VECTORS[:2]).principal) == 2


def test_a_survey_reads_headers_and_levels(ask: Ask, tmp_path: Path) -> None:
    sound = 0.1 * np.sin(np.arange(16000))
    soundfile.write(tmp_path / "a.wav", np.concatenate([sound, 0 * sound]), 8000)
    path = str(tmp_path / "a.wav")
    recordings = pd.DataFrame({"recording": ["r", "gone"], "file": ["a.wav", "b.wav"], "path": [path, ""]})
    windows = pd.DataFrame(
        {
            "position": [3, 5, 7],
            "path": [path, path, str(tmp_path / "b.wav")],
            "channel": "mix",
            "start_s": [0.0, 2.0, 0.0],
            "end_s": [2.0, 4.0, 2.0],
        }
    )
    request = SurveyRequest(
        recordings=kept_table(recordings, tmp_path), windows=kept_table(windows, tmp_path)
    )
    told = read_answer(ask(request))
    assert told["position"].tolist() == [3, 5, 7]
    assert told["level_db"][0] == pytest.approx(10 * np.log10(0.1**2 / 2), abs=0.1)
    assert told["level_db"][1] < -100
    assert np.isnan(told["level_db"][2])
    assert told["place recording"].tolist() == ["r", "gone"]
    assert told["place recorder"].tolist() == ["", ""]


def test_equal_requests_are_one_file_wherever_their_tables_lie(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]})
    one, other = kept_table(table, tmp_path / "1"), kept_table(table.copy(), tmp_path / "2")
    assert one.name == other.name
    assert kept_table(table.rename(columns={"a": "c"}), tmp_path).name != one.name
    assert kept_table(table.iloc[::-1], tmp_path).name != one.name
    requests = [ReportRequest(map=Path("m.npz"), windows=path) for path in (one, other)]
    assert answer_path(requests[0], tmp_path) == answer_path(requests[1], tmp_path)
    placed = requests[0].model_copy(update={"placed": Path("p.npz")})
    assert answer_path(placed, tmp_path) != answer_path(requests[0], tmp_path)
