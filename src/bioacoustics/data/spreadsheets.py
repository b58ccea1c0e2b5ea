"""Spreadsheets: CSV tables that people write by hand, with the row numbers that the spreadsheet shows."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

SEPARATORS = (",", ";", "\t")
EXAMPLES_SHOWN = 5  # of a complaint that concerns many rows


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `number` counts as a spreadsheet does, so the header is row 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The header (trimmed, lower case) and the rows that are not blank."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]


class Complaints:
    """Gather what is wrong row by row, so that a thousand equal faults become one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, list[str]] = {}

    def add(self, sentence: str, row: int, detail: str) -> None:
        """Note that `sentence` (what is wrong and what to do) holds for `detail` in `row`."""
        self._found.setdefault(sentence, []).append(f"row {row} {detail}".rstrip())

    def sentences(self) -> tuple[str, ...]:
        """One sentence a fault: file, rows, what to do."""
        return tuple(f"{self._path}: {some_of(found)}: {sentence}" for sentence, found in self._found.items())

    def raise_if_any(self) -> None:
        """Raise one ValueError with every sentence."""
        if self._found:
            raise ValueError("\n".join(self.sentences()))


def some_of(items: Sequence[str], shown: int = EXAMPLES_SHOWN) -> str:
    """The first few of many, and how many more there are."""
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")


def read_table(path: Path, *, has_quotes: bool = True) -> Table:
    """Read a CSV whatever spreadsheet wrote it.

    Understood: UTF-8 with or without a byte order mark, UTF-16, Windows-1252 (with a warning); comma,
    semicolon or tab between columns; any line ends; quoted cells. Programs that never quote, like Raven,
    may have a single quotation mark in a cell: read their tables without `has_quotes`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no table: a workbook, empty, a row with too many cells, a quote without its partner.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give the path of a CSV table")
    text, warnings = read_text(path)
    lines = _lines(path, text, has_quotes)
    header = next(lines, None)
    if header is None:
        raise ValueError(f"{path} is empty; its first line must name the columns, e.g. filename,labels")
    columns = tuple(cell.strip().lower() for cell in header[1])
    named = [column for column in columns if column]
    if len(set(named)) < len(named):
        raise ValueError(f"{path}, row {header[0]}: two columns have the same name ({', '.join(columns)})")
    complaints = Complaints(path)
    rows = [Row(number, _cells(columns, cells, number, complaints)) for number, cells in lines if any(cells)]
    complaints.raise_if_any()
    return Table(path, tuple(named), tuple(rows), warnings)


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file in whatever encoding, and a warning where it had to be guessed."""
    content = path.read_bytes()
    if content.startswith(b"PK\x03\x04"):
        raise ValueError(f"{path} is a spreadsheet workbook; save it as 'CSV UTF-8' and give that file")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), ()
    try:
        return content.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        warning = (
            f"{path}, row {row}: not UTF-8, so it is read as Windows-1252; "
            "if letters look wrong, save the table as 'CSV UTF-8'"
        )
        return content.decode("cp1252", errors="replace"), (warning,)


def _lines(path: Path, text: str, has_quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Every record with its row number, cells trimmed; blank lines count as rows, as in a spreadsheet."""
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=first_line.count)
    if has_quotes:
        text = re.sub(r'" +(?=[,;\t\r\n]|$)', '"', text)  # spaces after a closing quote mean nothing
    reader = csv.reader(
        StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if has_quotes else csv.QUOTE_NONE,
    )
    number = 0
    seen_header = False
    try:
        for cells in reader:
            number += 1
            if seen_header or any(cell.strip() for cell in cells):
                seen_header = True
                yield number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ValueError(
            f"{path}, row {number + 1}: quotes that do not match ({error}); "
            "put one at each end of the cell, or none"
        ) from error


def _cells(
    columns: Sequence[str], cells: Sequence[str], number: int, complaints: Complaints
) -> dict[str, str]:
    if any(cells[len(columns) :]):
        complaints.add(
            f"more cells than the {len(columns)} columns of the header; several labels in one cell need "
            'quotes: clip.wav,"label1,label2"',
            number,
            repr(",".join(cells)),
        )
    # A short row has empty cells at its end: spreadsheets leave them out.
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return {column: cell for column, cell in zip(columns, padded, strict=False) if column}
