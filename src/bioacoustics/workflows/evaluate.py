"""Evaluate: predictions against annotations, with a report, tables, and thresholds for a wanted precision."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.markup import escape

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.data.spreadsheets import some_of
from bioacoustics.formats.words import Language
from bioacoustics.models.bundle import Bundle
from bioacoustics.models.saved import is_own_file, read_classifier_bundle, write_bundle
from bioacoustics.models.thresholds import ClassThreshold, Thresholds
from bioacoustics.workflows.evaluation import Evaluation, evaluated
from bioacoustics.workflows.evaluation_inputs import Trial, Truth, read_predicted
from bioacoustics.workflows.evaluation_page import Asked, evaluation_page
from bioacoustics.workflows.evaluation_tables import show, write_tables
from bioacoustics.workflows.event_making import EventRules
from bioacoustics.workflows.output import Location
from bioacoustics.workflows.truth import leave_out_what_follows, read_truth


class EvaluateConfig(EventRules, frozen=True, extra="forbid"):
    """What `evaluate` needs to know."""

    predictions: Location = Field(
        description="table or store that predict wrote, or a table of events",
        json_schema_extra={"positional": True},
    )
    annotations: Path = Field(
        description="what is truly there: Raven, Audacity or Kaleidoscope tables, a CSV of events, a folder "
        "of these, or labels.csv"
    )
    data_dir: Path = Field(description="the recordings, as predict was told")
    output_dir: Path = Field(default=Path("evaluation"), description="folder for report.html and the tables")
    bundle: Path | None = Field(
        default=None,
        description="the checkpoint that predicted: its thresholds are judged, and with --precision_wanted "
        "replaced by those found here",
    )
    precision_wanted: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="find the threshold of each label for this precision, such as 0.9",
    )
    collar_s: float = Field(
        default=0.2, gt=0, description="seconds by which begins and ends of events may differ"
    )
    min_overlap: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="share of an annotated event, or of the window if that is shorter, that makes the window "
        "one of its label",
    )
    unannotated: Literal["skip", "empty"] = Field(
        default="skip",
        description="recordings that no annotation mentions: leave out, or take as without any",
    )
    label_column: str | None = Field(default=None, description="column of the annotations with the labels")
    label_map: Path | None = Field(
        default=None, description="table annotation,label: what annotators call the labels of the model"
    )
    language: Language = Field(default="en", description="of the report")


def evaluate(config: EvaluateConfig, console: Console) -> Evaluation:
    """Compare predictions with annotations: report.html, per_class.csv, reliability.csv, confusion.csv.

    Average precision (mean: cmAP), AUROC, and precision, recall and F1 at the threshold, for windows or
    recordings; precision and recall of events, with collars and by overlap; what is confused; whether
    probabilities are true. With --precision_wanted also a threshold for each label, which --bundle keeps.
    """
    bundle = _bundle(config)
    header = bundle.header if bundle else None
    truth, has_times, warnings = read_truth(
        config.annotations, config.data_dir, config.label_column, config.label_map
    )
    recordings = {one.relative_path: one for one in scan_recordings(config.data_dir).recordings}
    if has_times:
        warnings += leave_out_what_follows(truth, recordings)
    for warning in warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False, soft_wrap=True)
    trial = Trial(
        truth=truth,
        has_times=has_times,
        rates_hz={name: recording.sample_rate_hz for name, recording in recordings.items()},
        rules=config,
        min_overlap=config.min_overlap,
        unannotated=config.unannotated,
        header=header,
    )
    predicted = read_predicted(config.predictions, trial)
    strangers = _strangers(config, truth, predicted.labels, console)
    if header is not None and predicted.model and not header.fingerprint.startswith(predicted.model):
        raise ValueError(
            f"{config.predictions} was not made by {config.bundle}: model {predicted.model} there, "
            f"{header.fingerprint[:16]} here; thresholds belong to the model whose scores they judge"
        )
    opening = config.opening(predicted.labels, header.thresholds if header else None)
    annotated = [event for members in truth.values() for event in members]
    found = evaluated(
        predicted.labels,
        opening,
        predicted.judged,
        (annotated, predicted.events) if has_times and predicted.events is not None else None,
        num_recordings=len(truth),
        collar_s=config.collar_s,
        precision_wanted=config.precision_wanted or 0.9,
    )
    config.output_dir.mkdir(parents=True, exist_ok=True)
    write_tables(found, config.output_dir)
    asked = Asked(
        predictions=config.predictions,
        annotations=config.annotations,
        data_dir=config.data_dir,
        bundle=config.bundle,
        strangers=strangers,
    )
    wanted = config.precision_wanted
    page = evaluation_page(found, asked, config.language, collar_s=config.collar_s, wanted=wanted)
    page.write(config.output_dir / "report.html")
    show(found, console)
    if bundle is not None and config.precision_wanted is not None:
        _store(config, bundle, found, predicted.window_s, console)
    _tell(console, f"{config.output_dir / 'report.html'}: {found.num_recordings} recordings judged")
    return found


def _bundle(config: EvaluateConfig) -> Bundle | None:
    if config.bundle is None:
        return None
    bundle = read_classifier_bundle(config.bundle)
    if config.precision_wanted is not None and not is_own_file(config.bundle):
        raise ValueError(
            f"{config.bundle} is a published layout, which has no place for thresholds: make a bundle of it "
            "with bioacoustics convert, predict with that, and give it here"
        )
    return bundle


def _strangers(config: EvaluateConfig, truth: Truth, labels: tuple[str, ...], console: Console) -> list[str]:
    """The annotated labels that the model does not know, told to the user; all of them is an error."""
    marked = sorted({event.label for members in truth.values() for event in members})
    strangers = [label for label in marked if label not in labels]
    if strangers and len(strangers) == len(marked):
        raise ValueError(
            f"{config.annotations}: no label is one of the model's. Annotated: {some_of(marked)}; the model "
            f"knows {some_of(labels)}. Say which is which with --label_map, a table annotation,label"
        )
    if strangers:
        _tell(console, f"not judged, as the model does not know them: {some_of(strangers, 10)}")
    return strangers


def _store(
    config: EvaluateConfig, bundle: Bundle, found: Evaluation, window_s: float, console: Console
) -> None:
    """Write the thresholds into the bundle, which appears whole or stays as it was; weights are the same."""
    assert config.bundle is not None and config.precision_wanted is not None
    if found.judged is None or found.judged.unit != "window":
        raise ValueError(
            f"{config.bundle}: thresholds are those of windows; give scores of windows, and "
            "annotations with times"
        )
    classes = {
        one.label: ClassThreshold(
            threshold=one.found.threshold,
            precision=one.found.precision,
            precision_low=one.found.precision_interval[0],
            precision_high=one.found.precision_interval[1],
            recall=one.found.recall,
            num_present=one.found.num_present,
        )
        for one in found.classes
        if one.found is not None
    }
    if not classes:
        raise ValueError(
            f"no label ever is right {100 * config.precision_wanted:g} % of the time, so {config.bundle} "
            "stays as it is; a lower --precision_wanted may do"
        )
    thresholds = Thresholds(
        precision_wanted=config.precision_wanted,
        window_s=window_s,
        num_recordings=found.num_recordings,
        classes=classes,
    )
    header = bundle.header.model_copy(update={"thresholds": thresholds})
    write_bundle(Bundle(header, bundle.weights), config.bundle)
    _tell(
        console,
        f"{config.bundle}: thresholds of {len(classes)} of {len(found.labels)} labels for a precision of "
        f"{config.precision_wanted:g}; predict --events and events --model_path use them",
    )


def _tell(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
