"""Evaluation page: how well a model does on annotated recordings, as one page in English or Spanish."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioacoustics.formats.page import Page, Step
from bioacoustics.formats.tables import SUFFIXES
from bioacoustics.formats.words import Language
from bioacoustics.workflows.evaluation import ClassResult, Evaluation
from bioacoustics.workflows.evaluation_words import TEXTS

MAX_CONFUSED = 60  # labels; a larger matrix cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was compared with what, for the commands that come next."""

    predictions: str
    annotations: Path
    data_dir: Path
    bundle: Path | None
    strangers: Sequence[str] = ()  # annotated labels that the model does not know


def evaluation_page(
    found: Evaluation, asked: Asked, language: Language, *, collar_s: float, wanted: float | None
) -> Page:
    """The whole report; without `wanted` it has no thresholds."""
    page = Page(_text("title", language), lead=_text("lead", language), language=language)
    page.facts(_facts(found, language))
    if found.judged is not None:
        _add_labels(page, found, asked.strangers, language)
    if found.total("collar") is not None:
        _add_events(page, found, language, collar_s)
    if found.judged is not None:
        _add_confusion(page, found, language)
        _add_calibration(page, found, language)
        if wanted is not None:
            _add_thresholds(page, found, language, wanted)
    page.next_steps(_steps(found, asked, language))
    return page


def _text(key: str, language: Language) -> str:
    return TEXTS[key][language]


def _facts(found: Evaluation, language: Language) -> list[tuple[str, str]]:
    facts = [(_text("recordings", language), str(found.num_recordings))]
    if found.judged is not None:
        if found.judged.unit == "window":
            facts.append((_text("window", language), str(len(found.judged.files))))
        facts += [
            (_text(key, language), _number(found.mean(name)))
            for key, name in (("cmap", "average_precision"), ("auroc", "auroc"), ("f1", "f1"))
        ]
        facts.append((_text("ece", language), _number(found.calibration_error)))
    total = found.total("overlap")
    if total is not None:
        facts.append((_text("events_annotated", language), str(total.num_annotated)))
    return facts


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "–"


def _add_labels(page: Page, found: Evaluation, strangers: Sequence[str], language: Language) -> None:
    # Late, because plotting takes seconds to load, which every command would wait for.
    from bioacoustics.formats.pictures import per_class_bars, precision_recall

    assert found.judged is not None
    page.heading(_text("labels", language))
    page.paragraph(_text("labels_text", language))
    keys = ("label", "present", "ap", "auroc", "threshold", "precision", "recall")
    columns = [*(_text(key, language) for key in keys), "F1"]
    rows = [
        (
            *(one.label, one.num_present, one.average_precision, one.auroc),
            *(one.threshold, one.precision, one.recall, one.f1),
        )
        for one in _commonest_first(found)
        if one.num_present or np.isfinite(one.precision)
    ]
    page.table(columns, rows)
    if len(rows) < len(found.classes):
        page.paragraph(_text("untold", language).format(len(found.classes) - len(rows)))
    if strangers:
        page.paragraph(_text("strangers", language).format(", ".join(strangers)))
    present = [one for one in found.classes if one.num_present]
    if not present:
        return
    values = np.array([one.average_precision for one in present])
    counts = np.array([one.num_present for one in present])
    names = [one.label for one in present]
    bars = per_class_bars(names, values, name="average_precision", num_clips=counts, language=language)
    page.picture(bars, description=_text("ap", language))
    page.heading(_text("curves", language))
    curves = precision_recall(found.judged.targets, found.judged.scores, found.labels, language=language)
    page.picture(curves, description=_text("curves", language))


def _commonest_first(found: Evaluation) -> list[ClassResult]:
    return sorted(found.classes, key=lambda one: (-one.num_present, one.label))


def _add_events(page: Page, found: Evaluation, language: Language, collar_s: float) -> None:
    page.heading(_text("events", language))
    page.paragraph(_text("events_text", language).format(collar=collar_s))
    sides = [
        f"{_text(name, language)}: {_text(way, language)}"
        for way in ("collar", "overlap")
        for name in ("precision", "recall")
    ]
    columns = [_text("label", language), _text("annotated", language), _text("predicted", language), *sides]
    rows: list[tuple[str | int | float, ...]] = []
    totals = found.total("collar"), found.total("overlap")
    counted = [(one.label, one.collar, one.overlap) for one in _commonest_first(found)]
    for label, collar, overlap in [(_text("all", language), *totals), *counted]:
        if collar is None or overlap is None or not collar.num_annotated + collar.num_predicted:
            continue
        rows.append(
            (
                *(label, collar.num_annotated, collar.num_predicted),
                *(collar.precision, collar.recall, overlap.precision, overlap.recall),
            )
        )
    page.table(columns, rows)


def _add_confusion(page: Page, found: Evaluation, language: Language) -> None:
    from bioacoustics.formats.pictures import confusion_matrix

    assert found.confusion is not None
    seen = np.flatnonzero(found.confusion.sum(axis=0) + found.confusion.sum(axis=1))
    if not len(seen) or len(seen) > MAX_CONFUSED:
        return
    names = [*found.labels, f"({_text('nothing', language)})"]
    page.heading(_text("confused", language))
    page.paragraph(_text("confused_text", language).format(mixed=found.num_mixed))
    counts = found.confusion[np.ix_(seen, seen)]
    png = confusion_matrix(counts, [names[i] for i in seen], language=language)
    page.picture(png, description=_text("confused", language))


def _add_calibration(page: Page, found: Evaluation, language: Language) -> None:
    from bioacoustics.formats.evaluation_pictures import reliability_curve

    page.heading(_text("calibration", language))
    page.paragraph(_text("calibration_text", language))
    png = reliability_curve(
        [one.count for one in found.bins],
        [one.promised for one in found.bins],
        [one.came_true for one in found.bins],
        language=language,
    )
    page.picture(png, description=_text("calibration", language))


def _add_thresholds(page: Page, found: Evaluation, language: Language, wanted: float) -> None:
    from bioacoustics.formats.evaluation_pictures import threshold_intervals

    page.heading(_text("found", language).format(wanted))
    page.paragraph(_text("found_text", language))
    known = [(one.label, one.found) for one in _commonest_first(found) if one.found is not None]
    if not known:
        page.paragraph(_text("no_thresholds", language))
        return
    interval = _text("interval", language)
    keys = ("label", "threshold", "precision", "recall", "present")
    names = {key: _text(key, language) for key in keys}
    columns = [names["label"], names["threshold"], names["precision"], interval, names["recall"], interval]
    rows = [
        (
            *(label, one.threshold, one.precision, "{:.2f} – {:.2f}".format(*one.precision_interval)),
            *(one.recall, "{:.2f} – {:.2f}".format(*one.recall_interval), one.num_present),
        )
        for label, one in known
    ]
    page.table([*columns, names["present"]], rows)
    png = threshold_intervals(
        [label for label, _ in known],
        [one.threshold for _, one in known],
        [one.precision for _, one in known],
        [one.precision_interval for _, one in known],
        wanted,
        language=language,
    )
    page.picture(png, description=_text("found", language).format(wanted))


def _steps(found: Evaluation, asked: Asked, language: Language) -> list[Step]:
    model = _quoted(asked.bundle or "./checkpoints/finetune/checkpoint_best.pt")
    predictions, recordings = _quoted(asked.predictions), f"--data_dir {_quoted(asked.data_dir)}"
    steps = []
    if found.judged is not None and found.judged.unit == "window":
        steps = [
            Step(
                _text("next_thresholds", language),
                f"bioacoustics evaluate {predictions} --annotations {_quoted(asked.annotations)} "
                f"{recordings} --bundle {model} --precision_wanted 0.9",
            ),
            Step(
                _text("next_events", language),
                f"bioacoustics events {predictions} {recordings} --model_path {model} --events raven",
            ),
        ]
    if Path(asked.predictions).suffix.lower() not in SUFFIXES:
        return steps  # clips are cut by tables, and this is a store
    clips = f"bioacoustics clips --predictions {predictions} {recordings} --output_dir ./review"
    return [*steps, Step(_text("next_clips", language), clips)]


def _quoted(place: str | Path) -> str:
    """A place as terminals of all systems understand it."""
    return f'"{place}"' if re.search(r"[^\w./:\\-]", str(place)) else str(place)
