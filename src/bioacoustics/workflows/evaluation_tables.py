"""Evaluation tables: what an evaluation found as CSV and on the screen."""

from math import isfinite
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioacoustics.formats.tables import Cell, write_rows
from bioacoustics.workflows.evaluation import ClassResult, Evaluation

NUM_SHOWN = 15
COLUMNS = (
    *("label", "num_present", "average_precision", "auroc", "threshold", "precision", "recall", "f1"),
    *("events_annotated", "events_predicted"),
    *("collar_precision", "collar_recall", "collar_f1", "overlap_precision", "overlap_recall", "overlap_f1"),
    *("found_threshold", "found_precision", "found_precision_low", "found_precision_high"),
    *("found_recall", "found_recall_low", "found_recall_high"),
)


def write_tables(found: Evaluation, folder: Path) -> None:
    """Write per_class.csv, whose last row is the mean of the labels, reliability.csv and confusion.csv."""
    rows = [_row(one) for one in found.classes]
    rows.append(
        [_mean_of(column, name) for column, name in zip(zip(*rows, strict=True), COLUMNS, strict=True)]
    )
    write_rows(folder / "per_class.csv", COLUMNS, rows)
    if found.judged is None or found.confusion is None:
        return
    bins: list[list[Cell]] = [[one.count, one.promised, one.came_true] for one in found.bins]
    write_rows(folder / "reliability.csv", ("count", "mean_score", "share_present"), bins)
    names = [*found.labels, ""]
    counts: list[list[Cell]] = [
        [name, *row] for name, row in zip(names, found.confusion.tolist(), strict=True)
    ]
    write_rows(folder / "confusion.csv", ("true", *names), counts)


def _row(one: ClassResult) -> list[Cell]:
    cells: list[Cell] = [one.label, one.num_present, one.average_precision, one.auroc, one.threshold]
    cells += [one.precision, one.recall, one.f1]
    counts = one.overlap
    cells += [counts.num_annotated, counts.num_predicted] if counts else [None, None]
    for way in (one.collar, one.overlap):
        cells += [way.precision, way.recall, way.f1] if way else [None, None, None]
    if one.found is None:
        cells += [None] * 7
    else:
        cells += [one.found.threshold, one.found.precision, *one.found.precision_interval]
        cells += [one.found.recall, *one.found.recall_interval]
    return [None if isinstance(cell, float) and not isfinite(cell) else cell for cell in cells]


def _mean_of(cells: tuple[Cell, ...], name: str) -> Cell:
    if name == "label":
        return "(mean)"
    values = [cell for cell in cells if isinstance(cell, int | float)]
    if name.startswith(("num_", "events_")):
        return sum(values)
    return sum(values) / len(values) if values else None


def show(found: Evaluation, console: Console) -> None:
    """Print the means, and the labels that occur most."""
    if found.judged is not None:
        console.print(
            f"cmAP {found.mean('average_precision'):.3f}, AUROC {found.mean('auroc'):.3f}, "
            f"F1 {found.mean('f1'):.3f}, calibration error {found.calibration_error:.3f} over "
            f"{len(found.judged.files)} {found.judged.unit}s of {found.num_recordings} recordings",
            highlight=False,
            soft_wrap=True,
        )
    ways: tuple[Literal["collar"], Literal["overlap"]] = ("collar", "overlap")
    for name in ways:
        total = found.total(name)
        if total is not None:
            console.print(
                f"events by {name}: precision {total.precision:.3f}, recall {total.recall:.3f}, "
                f"F1 {total.f1:.3f} ({total.num_annotated} annotated, {total.num_predicted} predicted)",
                highlight=False,
                soft_wrap=True,
            )
    names = ("label", "present", "AP", "AUROC", "threshold", "precision", "recall", "F1")
    table = Table(*names, box=None, header_style="bold")
    for one in sorted(found.classes, key=lambda result: -result.num_present)[:NUM_SHOWN]:
        values = (one.average_precision, one.auroc, one.threshold, one.precision, one.recall, one.f1)
        cells = (f"{value:.2f}" if isfinite(value) else "-" for value in values)
        table.add_row(escape(one.label), str(one.num_present), *cells)
    console.print(table)
