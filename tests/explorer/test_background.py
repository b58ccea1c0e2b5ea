"""Background work tells how far it is, can be cancelled, keeps the last result and finds what it knows."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bioacoustics.explorer.answers import clusters_of, read_answer
from bioacoustics.explorer.background import Jobs, Status
from bioacoustics.explorer.fitted_map import FittedMap, PCAConfig
from bioacoustics.explorer.grouping import KMeansConfig, group
from bioacoustics.explorer.neighbour_maps import TSNEConfig
from bioacoustics.explorer.principal import fit_components
from bioacoustics.explorer.projection import fit_map
from bioacoustics.explorer.requests import (
    GroupRequest,
    GuidanceRequest,
    MapRequest,
    PlaceRequest,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "Ñandú" / "vectors-a.npy"
    path.parent.mkdir()
    np.save(path, RNG.normal(size=(300, 16)).astype(np.float16))
    return path


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with Jobs(tmp_path / "caché") as made:
        yield made


def finished(jobs: Jobs, slot: str) -> Status:
    for _ in range(1200):
        if jobs.status(slot).state != "running":
            return jobs.status(slot)
        time.sleep(0.05)
    raise AssertionError(f"it never ends: {jobs.status(slot)}")


def test_answers_are_those_of_the_functions_and_are_found_again(jobs: Jobs, vectors: Path) -> None:
    values = np.load(vectors)
    assert jobs.status("map").state == "empty"
    recordings = vectors.with_name("recordings-a.npy")
    np.save(recordings, np.array([f"r{i % 9}" for i in range(300)]))
    request = MapRequest(vectors=vectors, groups=recordings, config=PCAConfig())
    assert jobs.ask("map", request).state == "running"
    done = finished(jobs, "map")
    assert done.state == "done", done.error
    assert done.result is not None
    expected = fit_map(values, PCAConfig(), groups=[f"r{i % 9}" for i in range(300)])
    assert np.allclose(FittedMap.load(done.result).novelty, expected.novelty, atol=0.02)
    assert np.allclose(FittedMap.load(done.result).coordinates, expected.coordinates, atol=1e-5)
    jobs.ask("other", GroupRequest(vectors=vectors, config=KMeansConfig(num_clusters=3)))
    answer = finished(jobs, "other").result
    assert answer is not None
    points = fit_components(values, 50).apply(values)
    found = group(points, KMeansConfig(num_clusters=3))
    assert np.array_equal(clusters_of(read_answer(answer)).numbers, found.numbers)
    jobs.ask("other", PlaceRequest(vectors=vectors, map=done.result))
    placed = finished(jobs, "other").result
    assert placed is not None
    assert np.allclose(read_answer(placed)["coordinates"], expected.coordinates, atol=1e-5)
    with Jobs(jobs.cache) as later:
        assert later.ask("map", request).state == "done"


def test_cancel_ends_the_work_and_keeps_the_result_before_it(jobs: Jobs, vectors: Path) -> None:
    jobs.ask("map", MapRequest(vectors=vectors, config=PCAConfig()))
    first = finished(jobs, "map")
    long = MapRequest(vectors=vectors, config=TSNEConfig(num_iterations=10_000))
    running = jobs.ask("map", long)
    assert running.result == first.result
    assert running.answered == first.request
    for _ in range(1200):
        if jobs.status("map").progress > 0.1:
            break
        time.sleep(0.05)
    assert jobs.status("map").step.key == "iterations"
    began = time.monotonic()
    assert jobs.cancel("map").state == "cancelled"
    assert time.monotonic() - began < 5
    assert jobs.status("map").result == first.result
    assert jobs.ask("map", long).state == "cancelled"  # a page that is drawn again must not begin it again
    assert jobs.retry("map").state == "running"
    newer = MapRequest(vectors=vectors, config=PCAConfig(num_dimensions=3))
    jobs.ask("map", newer)
    assert finished(jobs, "map").answered == newer


def test_failures_are_sentences_and_the_next_request_works(jobs: Jobs, vectors: Path, tmp_path: Path) -> None:
    few = tmp_path / "vectors-few.npy"
    np.save(few, np.zeros((3, 4), np.float16))
    jobs.ask("guidance", GuidanceRequest(vectors=few))
    failed = finished(jobs, "guidance")
    assert failed.state == "failed"
    assert "too few" in failed.error
    jobs.ask("guidance", MapRequest(vectors=tmp_path / "nowhere.npy", config=PCAConfig()))
    assert "nowhere.npy" in finished(jobs, "guidance").error
    jobs.ask("guidance", GuidanceRequest(vectors=vectors, max_clusters=4))
    answer = finished(jobs, "guidance")
    assert answer.state == "done"
    assert answer.result is not None
    assert read_answer(answer.result)["num_clusters"].tolist() == [2, 3, 4]


def test_a_process_that_dies_is_told(jobs: Jobs, vectors: Path) -> None:
    jobs.ask("map", MapRequest(vectors=vectors, config=TSNEConfig(num_iterations=10_000)))
    process = jobs._slots["map"].process
    assert process is not None
    process.kill()
    died = finished(jobs, "map")
    assert died.state == "failed"
    assert "ended by itself" in died.error
