"""Requests: what the page can ask of a process beside it, and where the answers are kept."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.grouping import Clusters, GroupConfig, group, guidance
from bioacoustics.explorer.neighbour_maps import Progress
from bioacoustics.explorer.principal import fit_components
from bioacoustics.explorer.projection import FittedMap, MapConfig, fit_map
from bioacoustics.explorer.sentences import Sentence

Answer = Mapping[str, np.ndarray]


class _OnVectors(BaseModel, frozen=True, extra="forbid"):
    vectors: Path  # .npy of a collection, named by its fingerprint


class MapRequest(_OnVectors, frozen=True, extra="forbid"):
    """Make a map; the answer is what `FittedMap.load` reads."""

    kind: Literal["map"] = "map"
    config: MapConfig
    groups: Path | None = None  # .npy with the recording of each window


class PlaceRequest(_OnVectors, frozen=True, extra="forbid"):
    """Place other windows on a map; the answer has coordinates, novelty and is_novel."""

    kind: Literal["place"] = "place"
    map: Path


class GroupRequest(_OnVectors, frozen=True, extra="forbid"):
    """Find clusters in principal components; the answer has numbers, centroids, distances and notes."""

    kind: Literal["group"] = "group"
    config: GroupConfig
    num_components: int = Field(default=50, ge=1)


class GuidanceRequest(_OnVectors, frozen=True, extra="forbid"):
    """Compare numbers of clusters; the answer has num_clusters, inertia, silhouette, best and elbow."""

    kind: Literal["guidance"] = "guidance"
    max_clusters: int = Field(default=20, ge=2)
    num_components: int = Field(default=50, ge=1)
    seed: int = 0


Request = Annotated[MapRequest | PlaceRequest | GroupRequest | GuidanceRequest, Field(discriminator="kind")]
AnyRequest = MapRequest | PlaceRequest | GroupRequest | GuidanceRequest
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Request)


def answer_path(request: AnyRequest, cache: Path) -> Path:
    """Where the answer is kept: files are named by their content, so equal requests are the same file."""
    values = request.model_dump(mode="json")
    for name in ("vectors", "groups", "map"):
        if values.get(name):
            values[name] = Path(values[name]).name
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]
    return cache / f"{request.kind}-{digest}.npz"


def carry_out(request: AnyRequest, path: Path, on_progress: Progress) -> None:
    """Compute the answer and write it to `path`, whole or not at all."""
    vectors = np.load(request.vectors, mmap_mode="r", allow_pickle=False)
    match request:
        case MapRequest():
            groups = None if request.groups is None else np.load(request.groups, allow_pickle=False).tolist()
            fit_map(vectors, request.config, groups=groups, on_progress=on_progress).save(path)
        case PlaceRequest():
            placed = FittedMap.load(request.map).transform(vectors, on_progress)
            _save(path, coordinates=placed.coordinates, novelty=placed.novelty, is_novel=placed.is_novel)
        case GroupRequest():
            on_progress(0.0, "principal components")
            points = fit_components(vectors, request.num_components).apply(vectors)
            found = group(points, request.config, on_progress)
            _save(
                path,
                numbers=found.numbers,
                centroids=found.centroids,
                distances=found.distances,
                notes=np.array(found.notes, dtype=str).reshape(-1, 2),
            )
        case GuidanceRequest():
            points = fit_components(vectors, request.num_components).apply(vectors)
            told = guidance(
                points, max_clusters=request.max_clusters, seed=request.seed, on_progress=on_progress
            )
            columns = {name: told.table[name].to_numpy() for name in told.table.columns}
            _save(path, **columns, best=np.array(told.best_silhouette), elbow=np.array(told.elbow))


def read_answer(path: Path) -> Answer:
    """The arrays of an answer (of a map rather use `FittedMap.load`)."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def clusters_of(answer: Answer) -> Clusters:
    """The clusters that answer a `GroupRequest`."""
    return Clusters(
        numbers=answer["numbers"],
        centroids=answer["centroids"],
        distances=answer["distances"],
        notes=tuple(Sentence(str(en), str(es)) for en, es in answer["notes"]),
    )


def _save(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
