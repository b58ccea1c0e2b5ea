"""Search: the windows of a store that sound like a few examples, as table, selections and contact sheet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from pydantic import BaseModel, Field, field_validator
from rich.console import Console

from bioacoustics.data.events import Event
from bioacoustics.formats.audacity import write_audacity
from bioacoustics.formats.raven import write_combined_raven
from bioacoustics.formats.tables import TableWriter, check_ending
from bioacoustics.formats.words import Language
from bioacoustics.inference.device import DeviceChoice
from bioacoustics.store.bouts import Bout, diverse, grouped
from bioacoustics.store.database import Store
from bioacoustics.store.filters import Filter
from bioacoustics.store.index import has_index
from bioacoustics.store.nearest import Hits, direction_of, nearest
from bioacoustics.workflows.contact_sheet import ContactSheet, Find
from bioacoustics.workflows.journal import RunSettings
from bioacoustics.workflows.output import Location
from bioacoustics.workflows.query import embedded_examples
from bioacoustics.workflows.survey import BadFiles, Outcome

HITS_PER_BOUT = 4  # fetched at first; more are fetched until there are enough bouts
CANDIDATES_TO_DIFFER = 5  # for each wanted hit, where hits shall differ
TABLE = pa.schema(
    [
        *(("rank", pa.int32()), ("score", pa.float32())),
        *((name, pa.string()) for name in ("file", "channel", "site", "start_time")),
        *((name, pa.float64()) for name in ("start_s", "end_s", "bout_start_s", "bout_end_s")),
        *(("bout_windows", pa.int32()), ("findings", pa.string()), ("window", pa.string())),
    ]
)


class SearchConfig(BaseModel, frozen=True, extra="forbid"):
    """What `search` needs to know."""

    store: Location = Field(
        description="store that `embed` made (a folder .lance, s3://...)",
        json_schema_extra={"positional": True},
    )
    like: tuple[Path, ...] = Field(
        default=(), description="sound to look for; may be repeated; a longer one counts window by window"
    )
    unlike: tuple[Path, ...] = Field(default=(), description="sound to stay away from; may be repeated")
    unlike_weight: float = Field(
        default=0.5,
        ge=0,
        description="the score is the mean cosine to --like minus this times the mean cosine to --unlike",
    )
    top: int = Field(default=50, ge=1, description="how many finds")
    between: tuple[str, str] | None = Field(
        default=None, description="times of day by the recorder's clock, such as 04:00 06:00 or 22:00 03:00"
    )
    site: tuple[str, ...] = Field(default=(), description="only this site; may be repeated")
    recording: tuple[str, ...] = Field(
        default=(), description="only this file, * stands for any letters; may be repeated"
    )
    label: tuple[str, ...] = Field(default=(), description="only windows that somebody labelled so")
    bout_gap_s: float = Field(
        default=5.0,
        ge=0,
        description="finds of one recording closer than this are one bout, shown by its best window",
    )
    diverse: bool = Field(default=False, description="finds that also differ from one another")
    approximate: bool = Field(
        default=False, description="ask the index that `bioacoustics index` made: faster, may miss some"
    )
    output: Path | None = Field(default=None, description="table of the finds: .csv or .parquet")
    raven: Path | None = Field(default=None, description="Raven selection table of the finds")
    audacity: Path | None = Field(
        default=None, description="folder for an Audacity label track per recording"
    )
    clips: Path | None = Field(
        default=None, description="folder for the cut clips and index.html, a contact sheet with players"
    )
    data_dir: Path | None = Field(
        default=None, description="where the recordings lie now [default: where they were when embedded]"
    )
    model_path: Path | None = Field(
        default=None, description="the model that made the store [default: where it was then]"
    )
    device: DeviceChoice = Field(default="auto", description="auto takes the GPU where there is one")
    language: Language = Field(default="en", description="of the contact sheet: en or es")
    bad_files: BadFiles = Field(
        default=BadFiles.REPORT, description="recordings that cannot be opened any more"
    )

    @field_validator("between")
    @classmethod
    def _check_times(cls, between: tuple[str, str] | None) -> tuple[str, str] | None:
        Filter(between=between)
        return between

    @property
    def filter(self) -> Filter:
        """Which windows are looked at."""
        return Filter(recordings=self.recording, sites=self.site, between=self.between, labels=self.label)


def search(config: SearchConfig, console: Console) -> Outcome:
    """Find the windows that sound most like --like and least like --unlike, best first, one for each bout.

    Exact: every window that the filters let through is compared. Without --output, --raven, --audacity or
    --clips the finds are printed as CSV to standard output.
    """
    if not config.like:
        raise ValueError("--like: give at least one recording of the sound to look for")
    if config.output is not None:
        check_ending(config.output)
    store = Store.open(config.store)
    saved = store.fact("embed")
    if saved is None:
        raise ValueError(
            f"{config.store} holds no embeddings yet: run bioacoustics embed --output {config.store}"
        )
    if config.approximate and not has_index(store):
        raise ValueError(f"{config.store} has no index: run bioacoustics index {config.store}")
    _check_filter(store, config)
    settings = RunSettings.model_validate(saved)
    like, unlike = embedded_examples(settings, (config.like, config.unlike), config.model_path, config.device)
    direction = direction_of(like, unlike, config.unlike_weight)
    hits, bouts = find_bouts(store, direction, config)
    rows = table_of(hits, bouts)
    _write(config, rows)
    finds = [Find(**row) for row in rows.to_pylist()]
    sheet = ContactSheet(store, config.data_dir, settings, config.language)
    if config.raven is not None or config.audacity is not None:
        _write_selections(config, finds, sheet)
    if config.clips is not None:
        page = sheet.write(config.clips, finds, title=", ".join(path.name for path in config.like))
        console.print(f"{page}: listen to them", markup=False, highlight=False, soft_wrap=True)
    outcome = Outcome(unusable=list(sheet.missing.values()))
    outcome.show(console)
    num_windows = store.count("windows", config.filter.condition(store) or None)
    console.print(
        f"{len(finds)} finds among {num_windows} windows", markup=False, highlight=False, soft_wrap=True
    )
    return outcome


def _check_filter(store: Store, config: SearchConfig) -> None:
    """Say at once that there is nothing to look through; a wrong name is the usual reason."""
    condition = config.filter.condition(store)
    if not condition or store.count("windows", condition):
        return
    names = set(store.rows("recordings", ["site"])["site"].to_pylist())
    sites = ", ".join(sorted(repr(name) for name in names if name)) or "none that is known"
    raise ValueError(
        f"{config.store}: none of its {store.count('windows')} windows fits --site, --recording, --between "
        f"and --label. Its sites: {sites}; times of day count only where they are no guess"
    )


def find_bouts(
    store: Store, direction: Float[np.ndarray, " dim"], config: SearchConfig
) -> tuple[Hits, list[Bout]]:
    """The best bouts, from as many hits as they take."""
    condition = config.filter.condition(store)
    wanted = config.top * (CANDIDATES_TO_DIFFER if config.diverse else 1)
    num_hits = wanted * HITS_PER_BOUT
    while True:
        hits = nearest(store, direction, num_hits, condition=condition, exact=not config.approximate)
        bouts = grouped(hits, config.bout_gap_s)
        if len(bouts) >= wanted or len(hits.scores) < num_hits:
            break
        num_hits *= 4
    return hits, diverse(hits, bouts, config.top) if config.diverse else bouts[: config.top]


def table_of(hits: Hits, bouts: list[Bout]) -> pa.Table:
    """A row for each bout, by its best window."""
    bests = hits.rows.take(pa.array([bout.best for bout in bouts], pa.int64()))
    columns = {name: bests[name] for name in TABLE.names if name in bests.column_names}
    return pa.Table.from_pydict(
        {
            **columns,
            "rank": range(1, len(bouts) + 1),
            "score": [hits.scores[bout.best] for bout in bouts],
            "bout_start_s": [bout.start_s for bout in bouts],
            "bout_end_s": [bout.end_s for bout in bouts],
            "bout_windows": [len(bout.members) for bout in bouts],
            "window": bests["id"],
        },
        schema=TABLE,
    )


def _write(config: SearchConfig, rows: pa.Table) -> None:
    if config.output is not None:
        with TableWriter(config.output, TABLE) as table:
            table.write({name: rows[name].to_pylist() for name in TABLE.names})
    elif config.raven is None and config.audacity is None and config.clips is None:
        print(rows.to_pandas().to_csv(index=False), end="")


def _write_selections(config: SearchConfig, finds: list[Find], sheet: ContactSheet) -> None:
    recordings = {find.file: sheet.recording_of(find) for find in finds}
    events = [
        Event(
            recording=recording.relative_path,
            start_s=find.start_s,
            end_s=find.end_s,
            label=f"find {find.rank}",
            score=find.score,
        )
        for find in finds
        if (recording := recordings[find.file]) is not None
    ]
    known = sorted(
        {r.relative_path: r for r in recordings.values() if r is not None}.values(),
        key=lambda recording: recording.relative_path,
    )
    if config.raven is not None:
        write_combined_raven(events, known, config.raven)
    if config.audacity is not None:
        write_audacity(events, config.audacity)
