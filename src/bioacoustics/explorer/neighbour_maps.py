"""Neighbour maps: t-SNE and UMAP of principal components, with settings that fit the number of windows."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, Field

from bioacoustics.explorer.principal import Scaling
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import DONE, Progress, Step, silent

MIN_WINDOWS = 5  # fewer have no neighbourhoods to draw
ITERATIONS_PER_REPORT = 10
_PLACING_ITERATIONS = 250
_FASTEST_EXACT = 10_000  # windows; above, t-SNE interpolates forces on a grid, which it can in two dimensions

Rows = Float[np.ndarray, "windows components"]
Coordinates = Float[np.ndarray, "windows dimensions"]


class MapSettings(BaseModel, frozen=True, extra="forbid"):
    """What all maps have in common."""

    num_dimensions: Literal[2, 3] = 2
    num_components: int = Field(default=50, ge=2, le=512)  # of the PCA that comes first
    scaling: Scaling = "unit"
    seed: int = Field(default=0, ge=0, lt=2**31)
    is_repeatable: bool = True  # false: all cores, and each time a slightly other map
    max_fitted: int = Field(default=50_000, ge=10)  # windows; the rest is placed among them


class TSNEConfig(MapSettings, frozen=True, extra="forbid"):
    """Settings of t-SNE (van der Maaten & Hinton 2008), computed by openTSNE."""

    method: Literal["tsne"] = "tsne"
    perplexity: float = Field(default=30.0, ge=1, le=500)  # about how many neighbours count
    early_exaggeration: float = Field(default=12.0, ge=1, le=100)
    learning_rate: float | None = Field(default=None, gt=0)  # None: n / exaggeration (Belkina et al. 2019)
    num_early_iterations: int = Field(default=250, ge=0, le=5000)
    num_iterations: int = Field(default=500, ge=1, le=10_000)


class UMAPConfig(MapSettings, frozen=True, extra="forbid"):
    """Settings of UMAP (McInnes, Healy & Melville 2018), computed by umap-learn."""

    method: Literal["umap"] = "umap"
    num_neighbors: int = Field(default=15, ge=2, le=500)
    min_dist: float = Field(default=0.1, ge=0, le=1)
    metric: Literal["euclidean", "cosine", "manhattan", "correlation"] = "euclidean"
    num_epochs: int | None = Field(default=None, ge=1, le=10_000)  # None: 500, or 200 above 10 000 windows


NeighbourConfig = TSNEConfig | UMAPConfig


def fitting(config: NeighbourConfig, num_windows: int) -> tuple[NeighbourConfig, tuple[Sentence, ...]]:
    """The settings that so few windows allow, and a sentence for each that had to change."""
    match config:
        case TSNEConfig():
            limit = (num_windows - 1) / 3  # openTSNE looks at three times as many neighbours
            if config.perplexity <= limit:
                return config, ()
            note = Sentence(
                f"Perplexity {limit:.3g}, not {config.perplexity:g}: {num_windows} windows allow no more.",
                f"Perplejidad {limit:.3g}, no {config.perplexity:g}: {num_windows} ventanas no permiten más.",
            )
            return config.model_copy(update={"perplexity": limit}), (note,)
        case UMAPConfig():
            if config.num_neighbors < num_windows:
                return config, ()
            most, asked = num_windows - 1, config.num_neighbors
            note = Sentence(
                f"{most} neighbours instead of {asked}: {num_windows} windows allow no more.",
                f"{most} vecinos en lugar de {asked}: {num_windows} ventanas no permiten más.",
            )
            return config.model_copy(update={"num_neighbors": num_windows - 1}), (note,)


def fit_neighbours(
    rows: Rows, config: NeighbourConfig, on_progress: Progress | None = None
) -> tuple[Coordinates, Any]:
    """The map of some rows, and the engine that places more rows on it.

    It begins with the first principal components, so that what is left and right stays so from map to map.

    Raises:
        ModuleNotFoundError: The package is not installed; the message says how to get it.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    report = on_progress or silent
    report(0.0, Step("neighbours"))
    match config:
        case TSNEConfig():
            engine = _tsne(rows, config, report)
            return np.array(engine, np.float32), engine
        case UMAPConfig():
            engine = _umap_engine(config, _start(rows, config), config.num_epochs)
            with _told(engine, report):
                return np.asarray(engine.fit_transform(rows), np.float32), engine


def engine_of(rows: Rows, coordinates: Coordinates, config: NeighbourConfig) -> Any:
    """The engine of a map that was saved: it finds the neighbours again and moves nothing."""
    rows = np.ascontiguousarray(rows, np.float32)
    match config:
        case TSNEConfig():
            from openTSNE import TSNEEmbedding

            return TSNEEmbedding(
                coordinates.astype(np.float64),
                _affinities(rows, config),
                negative_gradient_method=_gradient_method(len(rows), config),
                n_jobs=_num_jobs(config),
                random_state=config.seed,
            )
        case UMAPConfig():
            engine = _umap_engine(config, coordinates, 0)
            engine.fit(rows)
            engine.embedding_ = coordinates.astype(np.float32)
            engine.n_epochs = config.num_epochs
            return engine


def place_neighbours(
    engine: Any, rows: Rows, config: NeighbourConfig, on_progress: Progress | None = None
) -> Coordinates:
    """Where new rows lie on the map of an engine; what is on it already does not move."""
    report = on_progress or silent
    rows = np.ascontiguousarray(rows, np.float32)
    report(0.0, Step("placing"))
    match config:
        case TSNEConfig():
            # openTSNE's own settings for new points, but never more neighbours than the map has.
            engine.gradient_descent_params.update(_callbacks(report, _PLACING_ITERATIONS))
            placed = engine.transform(
                rows, perplexity=min(5.0, config.perplexity), n_iter=_PLACING_ITERATIONS
            )
        case UMAPConfig():
            with _told(engine, report):
                placed = engine.transform(rows)
    report(1.0, DONE)
    return np.array(placed, np.float32)


def _tsne(rows: Rows, config: TSNEConfig, report: Progress) -> Any:
    from openTSNE import TSNE

    engine = TSNE(
        n_components=config.num_dimensions,
        perplexity=config.perplexity,
        early_exaggeration=config.early_exaggeration,
        early_exaggeration_iter=config.num_early_iterations,
        learning_rate=config.learning_rate or "auto",
        n_iter=config.num_iterations,
        negative_gradient_method=_gradient_method(len(rows), config),
        **_callbacks(report, config.num_early_iterations + config.num_iterations),
        n_jobs=_num_jobs(config),
        random_state=config.seed,
    )
    start = _start(rows, config)
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4  # as openTSNE begins
    return engine.fit(affinities=_affinities(rows, config), initialization=start.astype(np.float64))


def _callbacks(report: Progress, num_iterations: int) -> dict[str, Any]:
    """What openTSNE wants to be told in order to tell how far it is."""
    done = 0

    def tell(_iteration: int, _error: float, _embedding: object) -> None:
        nonlocal done
        done += ITERATIONS_PER_REPORT
        report(min(done / num_iterations, 1.0), Step("iterations", done, num_iterations))

    return {"callbacks": [tell], "callbacks_every_iters": ITERATIONS_PER_REPORT}


def _affinities(rows: Rows, config: TSNEConfig) -> Any:
    from openTSNE.affinity import PerplexityBasedNN

    return PerplexityBasedNN(
        rows, perplexity=config.perplexity, n_jobs=_num_jobs(config), random_state=config.seed
    )


def _gradient_method(num_windows: int, config: TSNEConfig) -> str:
    return "fft" if config.num_dimensions == 2 and num_windows > _FASTEST_EXACT else "bh"


def _umap_engine(config: UMAPConfig, start: Coordinates, num_epochs: int | None) -> Any:
    with warnings.catch_warnings():  # it tells of a part of it that would need TensorFlow
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP  # takes seconds to load
    return UMAP(
        n_components=config.num_dimensions,
        n_neighbors=config.num_neighbors,
        min_dist=config.min_dist,
        metric=config.metric,
        n_epochs=num_epochs,
        init=start,
        n_jobs=_num_jobs(config),
        random_state=config.seed if config.is_repeatable else None,
        transform_seed=config.seed,
    )


def _num_jobs(config: MapSettings) -> int:
    return 1 if config.is_repeatable else -1


def _start(rows: Rows, config: MapSettings) -> Coordinates:
    """The first components; where there are fewer than dimensions, a little noise in the rest."""
    start = np.zeros((len(rows), config.num_dimensions), np.float32)
    kept = min(rows.shape[1], config.num_dimensions)
    start[:, :kept] = rows[:, :kept]
    spread = max(float(np.abs(start).max(initial=0)), 1e-12)
    noise = np.random.default_rng(config.seed).normal(scale=1e-4 * spread, size=start.shape)
    return (start + noise).astype(np.float32)


class _Meter:
    """What UMAP's progress bar writes to: every refresh becomes a report."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def write(self, text: str) -> None:
        share, percent, _ = text.partition("%")
        if percent and share.strip("\r ").isdigit():
            self._report(int(share.strip("\r ")) / 100, Step("arranging"))

    def flush(self) -> None:
        """Nothing waits."""


@contextmanager
def _told(engine: Any, report: Progress) -> Iterator[None]:
    """Let UMAP's epochs be reported while the block runs."""
    engine.tqdm_kwds = {
        "disable": False,
        "file": _Meter(report),
        "bar_format": "{percentage:.0f}%",
        "mininterval": 0.2,
        "leave": False,
    }
    try:
        yield
    finally:
        engine.tqdm_kwds = {"disable": True}
