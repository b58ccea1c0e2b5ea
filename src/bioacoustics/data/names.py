"""Names: a table that says what each label of a model is called, in any language or list of species."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bioacoustics.data.events import plain_label
from bioacoustics.data.spreadsheets import Complaints, read_table, some_of

LABEL_COLUMN = "label"


def read_names(
    path: Path, labels: Sequence[str], column: str | None = None
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """What labels are called, and what is doubtful about that.

    Args:
        path: a table with the column `label` and one or more with names, such as `scientific`, `en`, `es`.
        labels: those of the model; one that the table lacks, or has no name for, keeps its own.
        column: which of the columns; needed where there are several.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it has no such column, a label twice, or one name for two labels of the model.
    """
    table = read_table(path)
    choices = [name for name in table.columns if name != LABEL_COLUMN]
    wanted = column.strip().lower() if column else None
    if LABEL_COLUMN not in table.columns or not choices:
        raise ValueError(
            f"{path}, row 1: the columns are {', '.join(table.columns)}, but label and a column of names are "
            "needed; write e.g. 'label,scientific,en,es' as the first line"
        )
    if wanted is None and len(choices) > 1:
        raise ValueError(
            f"{path} has several columns of names; choose with --name_column: {', '.join(choices)}"
        )
    if wanted is not None and wanted not in choices:
        raise ValueError(f"{path} has no column {column!r}; its columns of names are {', '.join(choices)}")
    names: dict[str, str] = {}
    complaints = Complaints(path)
    for row in table.rows:
        label = plain_label(row.cells[LABEL_COLUMN])
        if label in names:
            complaints.add("the same label twice; keep one row", row.number, repr(label))
        names[label] = plain_label(row.cells[wanted or choices[0]])
    complaints.raise_if_any()
    found = {label: names.get(plain_label(label), "") or label for label in labels}
    _refuse_twins(path, found)
    nameless = [label for label in labels if not names.get(plain_label(label))]
    warning = f"{path}: no name for {some_of(nameless)}; the labels themselves are written"
    return found, (warning,) if nameless else ()


def _refuse_twins(path: Path, names: Mapping[str, str]) -> None:
    """Two labels of one name could not be told apart any more, nor could their thresholds."""
    of_name: dict[str, list[str]] = {}
    for label, name in names.items():
        of_name.setdefault(name, []).append(label)
    for name, labels in of_name.items():
        if len(labels) > 1:
            raise ValueError(f"{path}: {' and '.join(labels)} are both called {name!r}; tell them apart")
