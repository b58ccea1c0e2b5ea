"""Maps keep neighbours together, repeat themselves, take in new windows and are saved as data."""

from pathlib import Path

import numpy as np
import pytest

from bioacoustics.explorer.fitted_map import FittedMap, PCAConfig
from bioacoustics.explorer.neighbour_maps import TSNEConfig, UMAPConfig
from bioacoustics.explorer.projection import fit_map

RNG = np.random.default_rng(0)
CENTRES = 3 * RNG.normal(size=(4, 20))
GROUPS = np.repeat(np.arange(4), 30)
VECTORS = (CENTRES[GROUPS] + RNG.normal(size=(120, 20))).astype(np.float16)
RECORDINGS = [f"r{i % 6}" for i in range(120)]
CONFIGS = [
    PCAConfig(),
    PCAConfig(num_dimensions=3, scaling="none"),
    TSNEConfig(perplexity=10, num_iterations=150, num_early_iterations=100),
    TSNEConfig(num_dimensions=3, num_iterations=50, num_early_iterations=50),
    UMAPConfig(num_epochs=60),
]
Config = PCAConfig | TSNEConfig | UMAPConfig


def agreement_of_neighbours(coordinates: np.ndarray, groups: np.ndarray) -> float:
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((groups[distances.argmin(axis=1)] == groups).mean())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.method}{config.num_dimensions}")
def test_a_map_repeats_itself_takes_in_new_windows_and_survives_saving(
    config: Config, tmp_path: Path
) -> None:
    told: list[float] = []
    fitted = fit_map(VECTORS, config, groups=RECORDINGS, on_progress=lambda share, _: told.append(share))
    assert fitted.coordinates.shape == (120, config.num_dimensions)
    assert agreement_of_neighbours(fitted.coordinates, GROUPS) > 0.95
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert np.array_equal(fit_map(VECTORS, config, groups=RECORDINGS).coordinates, fitted.coordinates)
    fitted.save(tmp_path / "map.npz")
    loaded = FittedMap.load(tmp_path / "map.npz")
    assert loaded.config == config
    assert np.array_equal(loaded.coordinates, fitted.coordinates)
    later = (CENTRES[GROUPS] + RNG.normal(size=(120, 20))).astype(np.float32)
    placed, again = fitted.transform(later), loaded.transform(later)
    assert np.abs(placed.coordinates - again.coordinates).max() < 1e-3
    near = np.linalg.norm(placed.coordinates[:, None] - fitted.coordinates[None], axis=2).argmin(axis=1)
    assert (GROUPS[near] == GROUPS).mean() > 0.95
    assert placed.is_novel.mean() < 0.1
    strange = fitted.transform(RNG.normal(size=(40, 20)).astype(np.float32))
    assert strange.is_novel.mean() > 0.9
    assert np.isnan(fitted.transform(np.full((1, 20), np.nan, np.float32)).coordinates).all()


@pytest.mark.parametrize("num_windows", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("config", [PCAConfig(), TSNEConfig(), UMAPConfig(num_dimensions=3)])
def test_few_windows_make_a_map_with_a_note(num_windows: int, config: Config) -> None:
    fitted = fit_map(VECTORS[:num_windows], config)
    assert np.isfinite(fitted.coordinates).all()
    assert fitted.coordinates.shape == (num_windows, config.num_dimensions)
    assert bool(fitted.notes) == (num_windows == 1 or config.method != "pca")
    assert all(note.en and note.es and note.en != note.es for note in fitted.notes)
    assert np.isfinite(fitted.transform(VECTORS[50:52]).coordinates).all()


def test_what_is_constant_or_not_finite_is_told() -> None:
    same = fit_map(np.ones((20, 8), np.float32), TSNEConfig())
    assert "one point" in same.notes[0].en
    assert (same.coordinates == 0).all()
    broken = VECTORS.copy()
    broken[[3, 50], 5] = np.nan
    fitted = fit_map(broken, UMAPConfig(num_epochs=10))
    assert np.flatnonzero(np.isnan(fitted.coordinates).any(axis=1)).tolist() == [3, 50]
    assert np.isnan(fitted.novelty[[3, 50]]).all()
    assert "2" in fitted.notes[0].en
    with pytest.raises(ValueError, match="none of the windows"):
        fit_map(np.full((3, 4), np.nan), PCAConfig())
    with pytest.raises(ValueError, match="embed both with the same model"):
        fitted.transform(np.zeros((2, 5), np.float32))


def test_what_a_listener_raises_ends_the_work() -> None:
    class EndedError(Exception):
        pass

    for config in (TSNEConfig(), UMAPConfig()):
        for limit in (0.2, 0.6):

            def end(share: float, _what: str, limit: float = limit) -> None:
                if share >= limit:
                    raise EndedError

            with pytest.raises(EndedError):
                fit_map(VECTORS, config, on_progress=end)


def test_many_windows_are_placed_between_those_that_were_fitted() -> None:
    config = TSNEConfig(max_fitted=60, num_iterations=100, num_early_iterations=100, perplexity=10)
    fitted = fit_map(VECTORS, config)
    assert len(fitted.fitted) == 60
    assert "60" in fitted.notes[0].en
    rest = np.setdiff1d(np.arange(120), fitted.fitted)
    distances = np.linalg.norm(
        fitted.coordinates[rest][:, None] - fitted.coordinates[fitted.fitted][None], axis=2
    )
    assert (GROUPS[fitted.fitted][distances.argmin(axis=1)] == GROUPS[rest]).mean() > 0.95
    pca = fit_map(VECTORS, PCAConfig(max_fitted=60))
    assert np.allclose(pca.coordinates, pca.principal[:, :2])


def test_a_fast_map_need_not_repeat_but_keeps_neighbours() -> None:
    for config in (
        UMAPConfig(is_repeatable=False, num_epochs=60),
        TSNEConfig(is_repeatable=False, perplexity=10),
    ):
        assert agreement_of_neighbours(fit_map(VECTORS, config).coordinates, GROUPS) > 0.95


def test_damaged_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "map.npz").write_bytes(b"PK no map")
    with pytest.raises(ValueError, match="delete it"):
        FittedMap.load(tmp_path / "map.npz")
