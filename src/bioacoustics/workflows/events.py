"""Events: make events anew from scores that are there, without running the model again."""

from pathlib import Path

from pydantic import Field
from rich.console import Console

from bioacoustics.audio.recordings import UnreadableFile
from bioacoustics.data.deployments import NO_DEPLOYMENTS, place, read_deployments
from bioacoustics.models.saved import read_classifier_bundle
from bioacoustics.workflows.event_making import EventFlags, Formats, events_beside, make_events
from bioacoustics.workflows.output import Location
from bioacoustics.workflows.score_reading import open_scores
from bioacoustics.workflows.survey import BadFiles, Outcome, survey


class EventsConfig(EventFlags, frozen=True, extra="forbid"):
    """What `events` needs to know."""

    scores: Location = Field(
        description="table or store that predict wrote", json_schema_extra={"positional": True}
    )
    data_dir: Path = Field(description="the recordings that were heard, as predict was told")
    events: Formats = Field(
        default=("csv",), description="formats, with commas: csv, parquet, raven, audacity, kaleidoscope"
    )
    model_path: Path | None = Field(
        default=None, description="the checkpoint that predicted, for its thresholds"
    )
    deployments: Path | None = Field(default=None, description="table of sites, zones and clock offsets")
    bad_files: BadFiles = Field(default=BadFiles.REPORT, description="recordings that cannot be used")


def events(config: EventsConfig, console: Console) -> Outcome:
    """Make events of scores with other thresholds, gaps, lengths or formats; the model does not run again.

    Reads a table with --per window, what predict --events left beside its table, or a store. Events have
    sides in time and frequency where predict was run with --events and the head hears patches.
    """
    if not config.events:
        raise ValueError("--events names no format; csv, parquet, raven, audacity and kaleidoscope are known")
    header = read_classifier_bundle(config.model_path).header if config.model_path else None
    scores = open_scores(config.scores, model=header.fingerprint if header else None)
    if header is not None and header.labels != scores.facts.labels:
        raise ValueError(f"{config.scores} was not made by {config.model_path}: its labels are others")
    deployments = read_deployments(config.deployments) if config.deployments else NO_DEPLOYMENTS
    scan = survey(config.data_dir, console, config.bad_files)
    placements = {one.relative_path: place(one, deployments) for one in scan.recordings}
    folder = config.events_dir or events_beside(config.scores)
    thresholds = header.thresholds if header else None
    missing = make_events(scores, placements, config, thresholds, folder, console)
    outcome = Outcome(
        unusable=[
            UnreadableFile(
                path=config.data_dir / name,
                relative_path=name,
                reason=f"it has scores, but is not in {config.data_dir} any more; it has no events",
            )
            for name in sorted(missing)
        ]
    )
    outcome.show(console)
    return outcome
