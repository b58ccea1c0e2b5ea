"""Projection: from vectors to a map, fitted once and good for every later season."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field, TypeAdapter

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.neighbour_maps import (
    MIN_WINDOWS,
    Coordinates,
    MapSettings,
    Progress,
    TSNEConfig,
    UMAPConfig,
    engine_of,
    fit_neighbours,
    fitting,
    place_neighbours,
)
from bioacoustics.explorer.novelty import Reference, distance_blocks
from bioacoustics.explorer.principal import PrincipalComponents, Vectors, fit_components, is_finite
from bioacoustics.explorer.sentences import Sentence

NOVEL_FROM = 0.99  # farther away than so many of the known windows
NUM_HOSTS = 5  # neighbours on the map between which the rest of many windows is placed
FORMAT = 1
_ONE_POINT = Sentence(
    "All windows have the same vector, so they lie on one point.",
    "Todas las ventanas tienen el mismo vector, por eso están en un solo punto.",
)


class PCAConfig(MapSettings, frozen=True, extra="forbid"):
    """The first two or three principal components themselves."""

    method: Literal["pca"] = "pca"


MapConfig = Annotated[PCAConfig | TSNEConfig | UMAPConfig, Field(discriminator="method")]
_CONFIG: TypeAdapter[PCAConfig | TSNEConfig | UMAPConfig] = TypeAdapter(MapConfig)


@dataclass(frozen=True, eq=False)
class Placed:
    """Windows on a map that was made of others.

    Attributes:
        coordinates: NaN where a vector is not finite.
        novelty: The share of known windows that lie closer to the known than these; see `Reference.score`.
        is_novel: Whether that is `NOVEL_FROM` or more: nothing like it was there when the map was made.
    """

    coordinates: Coordinates
    novelty: Float[np.ndarray, " windows"]
    is_novel: Bool[np.ndarray, " windows"]


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A map, and all that it takes to place other windows on it.

    Attributes:
        config: As asked for.
        used: The settings after they were adapted to the number of windows.
        coordinates: Of every window; NaN where a vector is not finite.
        principal: The principal components of every window.
        components: From vectors to principal components.
        fitted: The windows that the map was fitted on; the others were placed between their neighbours.
        reference: What is known, to tell what is novel.
        novelty: Of every window.
        notes: What was adapted or left out, one sentence each.
    """

    config: PCAConfig | TSNEConfig | UMAPConfig
    used: PCAConfig | TSNEConfig | UMAPConfig
    coordinates: Coordinates
    principal: Float[np.ndarray, "windows components"]
    components: PrincipalComponents
    fitted: Int[np.ndarray, " fitted"]
    reference: Reference
    novelty: Float[np.ndarray, " windows"]
    notes: tuple[Sentence, ...]
    _engine: list[Any] = field(default_factory=list)  # empty until one is needed

    def transform(self, vectors: Vectors, on_progress: Progress | None = None) -> Placed:
        """Place other windows, such as those of a new season, on this map; the map itself stays.

        Raises:
            ValueError: The vectors are of another width, so of another model.
        """
        width = len(self.components.mean)
        if vectors.shape[1] != width:
            raise ValueError(
                f"these vectors have {vectors.shape[1]} numbers and the map was made of {width}: "
                "embed both with the same model"
            )
        rows = self.components.apply(vectors)
        finite = np.isfinite(rows).all(axis=1)
        coordinates = np.full((len(rows), self.config.num_dimensions), np.nan, np.float32)
        if finite.any():
            coordinates[finite] = self._placed(rows[finite], on_progress)
        novelty = np.full(len(rows), np.nan)
        novelty[finite] = self.reference.score(rows[finite])
        return Placed(coordinates, novelty, novelty >= NOVEL_FROM)

    def _placed(
        self, rows: Float[np.ndarray, "rows components"], on_progress: Progress | None
    ) -> Coordinates:
        if isinstance(self.used, PCAConfig):
            return _first(rows, self.config.num_dimensions)
        if not self._engine:
            known = self.principal[self.fitted]
            self._engine.append(engine_of(known, self.coordinates[self.fitted], self.used))
        return place_neighbours(self._engine[0], rows, self.used, on_progress)

    def save(self, path: Path) -> None:
        """Write the map as an .npz of arrays and settings; it appears whole or not at all."""
        settings = {
            "format": FORMAT,
            "config": self.config.model_dump(),
            "used": self.used.model_dump(),
            "scaling": self.components.scaling,
            "notes": self.notes,
        }
        arrays = {
            "coordinates": self.coordinates,
            "principal": self.principal,
            "mean": self.components.mean,
            "directions": self.components.directions,
            "explained": self.components.explained,
            "fitted": self.fitted,
            "reference_points": self.reference.points,
            "reference_distances": self.reference.distances,
            "novelty": self.novelty,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            np.savez(file, settings=np.array(json.dumps(settings)), allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "FittedMap":
        """Read what `save` wrote.

        Raises:
            ValueError: It is no map of this version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            settings = json.loads(str(arrays.pop("settings")))
            if settings["format"] != FORMAT:
                raise ValueError(f"it has format {settings['format']}, expected {FORMAT}")
            return cls._of(settings, arrays)
        except (ValueError, KeyError, OSError, EOFError) as error:
            raise ValueError(
                f"{path}: no map that can be read ({error}); delete it to have it made anew"
            ) from error

    @classmethod
    def _of(cls, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> "FittedMap":
        return cls(
            config=_CONFIG.validate_python(settings["config"]),
            used=_CONFIG.validate_python(settings["used"]),
            coordinates=arrays["coordinates"],
            principal=arrays["principal"],
            components=PrincipalComponents(
                arrays["mean"], arrays["directions"], arrays["explained"], settings["scaling"]
            ),
            fitted=arrays["fitted"],
            reference=Reference(arrays["reference_points"], arrays["reference_distances"]),
            novelty=arrays["novelty"],
            notes=tuple(Sentence(*note) for note in settings["notes"]),
        )


def map_key(fingerprint: str, config: PCAConfig | TSNEConfig | UMAPConfig) -> str:
    """The name of a map in a cache: equal exactly where vectors and settings are."""
    text = json.dumps([FORMAT, fingerprint, config.model_dump()], sort_keys=True)
    return f"map-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def fit_map(
    vectors: Vectors,
    config: PCAConfig | TSNEConfig | UMAPConfig,
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
    report = on_progress or (lambda _share, _what: None)
    report(0.0, "principal components")
    finite = np.flatnonzero(is_finite(vectors))
    fitted, notes = _to_fit(finite, len(vectors), config)
    components = fit_components(
        vectors if len(fitted) == len(vectors) else vectors[fitted],
        config.num_components,
        scaling=config.scaling,
    )
    principal = components.apply(vectors)
    rows = principal[fitted]
    used, coordinates, engine, more = _arranged(rows, config, _part(report, 0.05, 0.9))
    everywhere = np.full((len(vectors), config.num_dimensions), np.nan, np.float32)
    everywhere[fitted] = coordinates
    rest = np.setdiff1d(finite, fitted)
    if len(rest):
        everywhere[rest] = (
            _first(principal[rest], config.num_dimensions)
            if isinstance(used, PCAConfig)
            else _between_neighbours(principal[rest], rows, coordinates, _part(report, 0.9, 0.97))
        )
    report(0.97, "novelty")
    known = None if groups is None else np.asarray(groups, dtype=str)[fitted].tolist()
    reference = Reference.of(rows, known, config.seed)
    novelty = np.full(len(vectors), np.nan)
    novelty[finite] = reference.score(principal[finite])
    report(1.0, "done")
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
    rows: Float[np.ndarray, "rows components"], config: PCAConfig | TSNEConfig | UMAPConfig, report: Progress
) -> tuple[PCAConfig | TSNEConfig | UMAPConfig, Coordinates, Any, list[Sentence]]:
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
        return used, _first(rows, config.num_dimensions), None, notes
    adapted, changes = fitting(config, len(rows))
    coordinates, engine = fit_neighbours(rows, adapted, report)
    return adapted, coordinates, engine, list(changes)


def _first(rows: Float[np.ndarray, "rows components"], num_dimensions: int) -> Coordinates:
    """The first components; zero where there are fewer."""
    coordinates = np.zeros((len(rows), num_dimensions), np.float32)
    kept = min(rows.shape[1], num_dimensions)
    coordinates[:, :kept] = rows[:, :kept]
    return coordinates


def _between_neighbours(
    asked: Float[np.ndarray, "asked components"],
    known: Float[np.ndarray, "known components"],
    coordinates: Float[np.ndarray, "known dimensions"],
    report: Progress,
) -> Float[np.ndarray, "asked dimensions"]:
    """The mean position of the five nearest on the map, nearer ones counting more."""
    placed = np.empty((len(asked), coordinates.shape[1]), np.float32)
    for first, squares in distance_blocks(asked, known):
        report(first / len(asked), "placing the other windows")
        hosts = np.argpartition(squares, NUM_HOSTS, axis=1)[:, :NUM_HOSTS]
        near = np.take_along_axis(squares, hosts, axis=1)
        weights = np.exp(-near / np.maximum(near.mean(axis=1, keepdims=True), 1e-12))
        weights /= weights.sum(axis=1, keepdims=True)
        placed[first : first + len(squares)] = np.einsum("ah,ahd->ad", weights, coordinates[hosts])
    return placed


def _part(report: Progress, first: float, last: float) -> Progress:
    """Reports of a part of the work, as shares of the whole."""
    return lambda share, what: report(first + share * (last - first), what)
