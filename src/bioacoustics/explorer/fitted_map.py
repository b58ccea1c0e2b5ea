"""Fitted map: windows on a map with all that it takes to place others on it, kept as a file."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field, TypeAdapter

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.neighbour_maps import (
    Coordinates,
    MapSettings,
    TSNEConfig,
    UMAPConfig,
    engine_of,
    place_neighbours,
)
from bioacoustics.explorer.novelty import Reference
from bioacoustics.explorer.principal import PrincipalComponents, Vectors
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import Progress

NOVEL_FROM = 0.99  # farther away than so many of the known windows
FORMAT = 1


class PCAConfig(MapSettings, frozen=True, extra="forbid"):
    """The first two or three principal components themselves."""

    method: Literal["pca"] = "pca"


AnyMapConfig = PCAConfig | TSNEConfig | UMAPConfig
MapConfig = Annotated[AnyMapConfig, Field(discriminator="method")]
_CONFIG: TypeAdapter[AnyMapConfig] = TypeAdapter(MapConfig)


@dataclass(frozen=True, eq=False)
class Placed:
    """Windows on a map that was made of others.

    Attributes:
        coordinates: NaN where a vector is not finite.
        principal: Their principal components.
        novelty: The share of known windows that lie closer to the known than these; see `Reference.score`.
        is_novel: Whether that is `NOVEL_FROM` or more: nothing like it was there when the map was made.
    """

    coordinates: Coordinates
    principal: Float[np.ndarray, "windows components"]
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

    config: AnyMapConfig
    used: AnyMapConfig
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
        return Placed(coordinates, rows, novelty, novelty >= NOVEL_FROM)

    def nowhere(self, num_windows: int) -> Placed:
        """Windows that are still to be placed."""
        return Placed(
            coordinates=np.full((num_windows, self.config.num_dimensions), np.nan, np.float32),
            principal=np.full((num_windows, self.principal.shape[1]), np.nan, np.float32),
            novelty=np.full(num_windows, np.nan),
            is_novel=np.zeros(num_windows, bool),
        )

    def _placed(
        self, rows: Float[np.ndarray, "rows components"], on_progress: Progress | None
    ) -> Coordinates:
        if isinstance(self.used, PCAConfig):
            return first_components(rows, self.config.num_dimensions)
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


def joined_map(fitted: FittedMap, placed: Placed) -> FittedMap:
    """A map that shows placed windows behind its own; what it was fitted on and knows stays the same."""
    return replace(
        fitted,
        coordinates=np.concatenate([fitted.coordinates, placed.coordinates]),
        principal=np.concatenate([fitted.principal, placed.principal]),
        novelty=np.concatenate([fitted.novelty, placed.novelty]),
    )


def first_components(rows: Float[np.ndarray, "rows components"], num_dimensions: int) -> Coordinates:
    """The first components; zero where there are fewer."""
    coordinates = np.zeros((len(rows), num_dimensions), np.float32)
    kept = min(rows.shape[1], num_dimensions)
    coordinates[:, :kept] = rows[:, :kept]
    return coordinates
