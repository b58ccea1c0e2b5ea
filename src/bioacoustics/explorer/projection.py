"""Projection: from vectors to a map, fitted once and good for every later season."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from bioacoustics.explorer.fitted_map import (
    AnyMapConfig,
    FittedMap,
    PCAConfig,
    first_components,
)
from bioacoustics.explorer.neighbour_maps import (
    MIN_WINDOWS,
    Coordinates,
    MapSettings,
    fit_neighbours,
    fitting,
)
from bioacoustics.explorer.novelty import Reference, distance_blocks
from bioacoustics.explorer.principal import Vectors, fit_components, is_finite
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import DONE, Progress, Step, part, silent

NUM_HOSTS = 5  # neighbours on the map between which the rest of many windows is placed
_ONE_POINT = Sentence(
    "All windows have the same vector, so they lie on one point.",
    "Todas las ventanas tienen el mismo vector, por eso están en un solo punto.",
)


def fit_map(
    vectors: Vectors,
    config: AnyMapConfig,
    *,
    groups: Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> FittedMap:
    """Make a map: principal components, then the method of `config` on them.

    Above `max_fitted` windows the map is fitted on so many, drawn by the seed, and the others are placed
    between their nearest neighbours among them; a note says how many.

    Args:
        vectors: One row for each window; half precision and memory maps will do.
        config: The method and its settings; adapted to few windows, with a note, rather than refused.
        groups: The recording of each window, which makes novelty fair to new recordings.
        on_progress: Is told the share that is done; what it raises ends the work.

    Raises:
        ValueError: No window has a vector of finite numbers.
        ModuleNotFoundError: openTSNE or umap-learn is missing.
    """
    report = on_progress or silent
    report(0.0, Step("components"))
    finite = np.flatnonzero(is_finite(vectors))
    fitted, notes = _to_fit(finite, len(vectors), config)
    components = fit_components(
        vectors if len(fitted) == len(vectors) else vectors[fitted],
        config.num_components,
        scaling=config.scaling,
    )
    principal = components.apply(vectors)
    rows = principal[fitted]
    used, coordinates, engine, more = _arranged(rows, config, part(report, 0.05, 0.9))
    everywhere = np.full((len(vectors), config.num_dimensions), np.nan, np.float32)
    everywhere[fitted] = coordinates
    rest = np.setdiff1d(finite, fitted)
    if len(rest):
        everywhere[rest] = (
            first_components(principal[rest], config.num_dimensions)
            if isinstance(used, PCAConfig)
            else _between_neighbours(principal[rest], rows, coordinates, part(report, 0.9, 0.97))
        )
    report(0.97, Step("novelty"))
    known = None if groups is None else np.asarray(groups, dtype=str)[fitted].tolist()
    reference = Reference.of(rows, known, config.seed)
    novelty = np.full(len(vectors), np.nan)
    novelty[finite] = reference.score(principal[finite])
    report(1.0, DONE)
    return FittedMap(
        config=config,
        used=used,
        coordinates=everywhere,
        principal=principal,
        components=components,
        fitted=fitted,
        reference=reference,
        novelty=novelty,
        notes=(*notes, *more),
        _engine=[engine] if engine is not None else [],
    )


def _to_fit(
    finite: Int[np.ndarray, " finite"], num_windows: int, config: MapSettings
) -> tuple[Int[np.ndarray, " fitted"], list[Sentence]]:
    notes = []
    if len(finite) < num_windows:
        num_left = num_windows - len(finite)
        notes.append(
            Sentence(
                f"Windows that are not on the map because their vectors are not finite: {num_left}.",
                f"Ventanas que no están en el mapa porque sus vectores no son finitos: {num_left}.",
            )
        )
    if len(finite) <= config.max_fitted:
        return finite, notes
    drawn = np.random.default_rng(config.seed).choice(finite, config.max_fitted, replace=False)
    num_rest = len(finite) - config.max_fitted
    notes.append(
        Sentence(
            f"The map was fitted on {config.max_fitted} windows drawn at random; "
            f"the other {num_rest} were placed between their nearest neighbours.",
            f"El mapa se ajustó con {config.max_fitted} ventanas elegidas al azar; "
            f"las otras {num_rest} se colocaron entre sus vecinas más cercanas.",
        )
    )
    return np.sort(drawn), notes


def _arranged(
    rows: Float[np.ndarray, "rows components"], config: AnyMapConfig, report: Progress
) -> tuple[AnyMapConfig, Coordinates, Any, list[Sentence]]:
    """Settings used, coordinates, engine and notes; by PCA where nothing else makes sense."""
    differ = len(rows) and bool((np.ptp(rows, axis=0) > 0).any())
    if isinstance(config, PCAConfig) or not differ or len(rows) < MIN_WINDOWS:
        notes = [] if differ else [_ONE_POINT]
        if differ and not isinstance(config, PCAConfig):
            notes = [
                Sentence(
                    f"{len(rows)} windows are too few for neighbours: these are their principal components.",
                    f"{len(rows)} ventanas son pocas para buscar vecinas: son sus componentes principales.",
                )
            ]
        used = PCAConfig(**{name: getattr(config, name) for name in MapSettings.model_fields})
        return used, first_components(rows, config.num_dimensions), None, notes
    adapted, changes = fitting(config, len(rows))
    coordinates, engine = fit_neighbours(rows, adapted, report)
    return adapted, coordinates, engine, list(changes)


def _between_neighbours(
    asked: Float[np.ndarray, "asked components"],
    known: Float[np.ndarray, "known components"],
    coordinates: Float[np.ndarray, "known dimensions"],
    report: Progress,
) -> Float[np.ndarray, "asked dimensions"]:
    """The mean position of the five nearest on the map, nearer ones counting more."""
    placed = np.empty((len(asked), coordinates.shape[1]), np.float32)
    for first, squares in distance_blocks(asked, known):
        report(first / len(asked), Step("placing"))
        hosts = np.argpartition(squares, NUM_HOSTS, axis=1)[:, :NUM_HOSTS]
        near = np.take_along_axis(squares, hosts, axis=1)
        weights = np.exp(-near / np.maximum(near.mean(axis=1, keepdims=True), 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        placed[first : first + len(squares)] = np.einsum("ah,ahd->ad", weights, coordinates[hosts])
    return placed
