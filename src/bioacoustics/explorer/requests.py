"""Requests: what the page can ask of a process beside it, and under which name the answer is kept."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, TypeAdapter

from bioacoustics.audio.writing import atomic_write
from bioacoustics.explorer.fitted_map import MapConfig
from bioacoustics.explorer.grouping import GroupConfig
from bioacoustics.explorer.teaching import TeachConfig


class Asked(BaseModel, frozen=True, extra="forbid"):
    """What all requests have in common: every path of theirs is a file that is named by its content."""

    @property
    def subject(self) -> tuple[Any, ...]:
        """Of which windows it is: while an answer is waited for, an older one of the same may be shown."""
        return tuple(getattr(self, name, None) for name in ("vectors", "others"))


class MapRequest(Asked, frozen=True, extra="forbid"):
    """Make a map; the answer is what `FittedMap.load` reads."""

    kind: Literal["map"] = "map"
    vectors: Path  # .npy of a collection
    config: MapConfig
    groups: Path | None = None  # .npy with the recording of each window


class PlaceRequest(Asked, frozen=True, extra="forbid"):
    """Place other windows on a map; the answer has coordinates, principal, novelty and is_novel."""

    kind: Literal["place"] = "place"
    vectors: Path
    map: Path


class GroupRequest(Asked, frozen=True, extra="forbid"):
    """Find clusters in principal components; the answer has numbers, centroids, distances and notes."""

    kind: Literal["group"] = "group"
    vectors: Path
    config: GroupConfig
    num_components: int = Field(default=50, ge=1)
    others: Path | None = None  # .npy of windows that join the clusters without changing them


class GuidanceRequest(Asked, frozen=True, extra="forbid"):
    """Compare numbers of clusters; the answer has num_clusters, inertia, silhouette, best and elbow."""

    kind: Literal["guidance"] = "guidance"
    vectors: Path
    max_clusters: int = Field(default=20, ge=2)
    num_components: int = Field(default=50, ge=1)
    seed: int = 0


class TeachRequest(Asked, frozen=True, extra="forbid"):
    """Teach a classifier; the answer is what `answers.taught_of` reads."""

    kind: Literal["teach"] = "teach"
    vectors: Path
    recordings: Path  # .npy with the recording of each window
    said: Path  # table of labelled windows, the first labelled first: position, then a column for each label
    config: TeachConfig


class GrowthRequest(Asked, frozen=True, extra="forbid"):
    """Teach with ever more of the labels; the answer has the columns of `teaching.growth`."""

    kind: Literal["growth"] = "growth"
    vectors: Path
    recordings: Path
    said: Path
    config: TeachConfig


class SurveyRequest(Asked, frozen=True, extra="forbid"):
    """Read headers, and how loud some windows are; the answer has the columns of `Survey`."""

    kind: Literal["survey"] = "survey"
    recordings: Path  # table: recording, file, path
    windows: Path  # table: position, path, channel, start_s, end_s
    deployments: str = ""  # table of places with its date of change, so that a mended one is read again
    deployments_changed_ns: int = 0

    @property
    def subject(self) -> tuple[Any, ...]:
        """Other recordings lie elsewhere."""
        return (self.recordings, self.windows)


class ReportRequest(Asked, frozen=True, extra="forbid"):
    """Ask what vectors tell and what components follow; the answer is a `confounding.Report` with a table."""

    kind: Literal["report"] = "report"
    map: Path
    placed: Path | None = None  # the answer that places the windows which the map does not hold
    windows: Path  # table: recording, site, recorder, hour, start_s, labels, loudness


class CompareRequest(Asked, frozen=True, extra="forbid"):
    """Compare two models; the answer has overlap, chance and two reports."""

    kind: Literal["compare"] = "compare"
    vectors: Path
    others: Path  # .npy of the other model
    windows: Path  # table of the windows of both: here, there, recording, site, hour, start_s, labels


class OverviewRequest(Asked, frozen=True, extra="forbid"):
    """Look at a stretch of a recording as a whole; the answer has levels, sample_rate_hz and heard_s."""

    kind: Literal["overview"] = "overview"
    recording: str
    changed_ns: int
    channel: str
    start_s: float
    end_s: float

    @property
    def subject(self) -> tuple[Any, ...]:
        """The picture of another recording, or of another part, is not to be seen meanwhile."""
        return (self.recording, self.channel, self.start_s, self.end_s)


AnyRequest = (
    MapRequest
    | PlaceRequest
    | GroupRequest
    | GuidanceRequest
    | TeachRequest
    | GrowthRequest
    | SurveyRequest
    | ReportRequest
    | CompareRequest
    | OverviewRequest
)
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(Annotated[AnyRequest, Field(discriminator="kind")])
FORMAT = 2  # of the answers; raised where the same request has another answer than before


def answer_path(request: AnyRequest, cache: Path) -> Path:
    """Where the answer is kept: equal requests are the same file."""
    values = request.model_dump(mode="json")
    for name, value in request:
        if isinstance(value, Path):
            values[name] = value.name
    text = json.dumps([FORMAT, values], sort_keys=True)
    return cache / f"{request.kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.npz"


def kept_table(frame: pd.DataFrame, folder: Path) -> Path:
    """Write a table where the work in the background reads it, under a name that its content gives."""
    digest = hashlib.sha256(repr(list(frame.columns)).encode())
    digest.update(np.ascontiguousarray(pd.util.hash_pandas_object(frame, index=False)).tobytes())
    path = folder / f"table-{digest.hexdigest()[:20]}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            frame.to_parquet(file, index=False)
    return path
