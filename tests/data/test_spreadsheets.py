"""Whatever spreadsheet wrote the table, the same cells are read, and faults are named by row."""

from pathlib import Path

import pytest

from bioacoustics.data.spreadsheets import Complaints, read_table, some_of

CELLS = [("clip1.wav", "frog,bird"), ("año nuevo.wav", "owl")]


def cells_of(path: Path):
    return [(row.cells["filename"], row.cells["labels"]) for row in read_table(path).rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_dialect_gives_the_same_cells(tmp_path, separator, line_end, encoding):
    lines = [
        f"filename{separator}labels",
        f'clip1.wav{separator}"frog,bird"',
        f"año nuevo.wav{separator}owl",
        "",
    ]
    path = tmp_path / "labels.csv"
    path.write_bytes(line_end.join(lines).encode(encoding))
    assert cells_of(path) == CELLS
    assert [row.number for row in read_table(path).rows] == [2, 3]
    assert read_table(path).warnings == ()


def test_windows_1252_is_read_with_a_warning(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("filename,labels\nclip1.wav,owl\naño.wav,owl\n".encode("cp1252"))
    table = read_table(path)
    assert table.rows[1].cells["filename"] == "año.wav"
    assert "row 3" in table.warnings[0]
    assert "CSV UTF-8" in table.warnings[0]


def test_blank_lines_count_as_rows_and_spaces_do_not_count(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text('\n Filename , LABELS \n\n a.wav ,  "x,y" \n,\n b.wav,z\n', encoding="utf-8")
    table = read_table(path)
    assert table.columns == ("filename", "labels")
    assert [(row.number, row.cells["filename"], row.cells["labels"]) for row in table.rows] == [
        (4, "a.wav", "x,y"),
        (6, "b.wav", "z"),
    ]


def test_short_rows_have_empty_cells_and_nameless_columns_are_dropped(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("filename,labels,,\na.wav\nb.wav,x,,\n", encoding="utf-8")
    table = read_table(path)
    assert table.columns == ("filename", "labels")
    assert [row.cells for row in table.rows] == [
        {"filename": "a.wav", "labels": ""},
        {"filename": "b.wav", "labels": "x"},
    ]


def test_labels_without_quotes_are_an_error_that_shows_how(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("filename,labels\na.wav,x\nb.wav,x,y\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r'labels\.csv: row 3 .*need quotes: clip\.wav,"label1,label2"'):
        read_table(path)


@pytest.mark.parametrize("text", ['filename,labels\na.wav,"x\nb.wav,y\n', 'filename,labels\na.wav,"x"y\n'])
def test_quotes_that_do_not_match_are_an_error_with_the_row(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.csv, row 2: quotes"):
        read_table(path)


def test_what_is_no_table_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "labels.csv"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"is empty; its first line must name the columns"):
        read_table(path)
    path.write_bytes(b"PK\x03\x04 the rest of a workbook")
    with pytest.raises(ValueError, match="save it as 'CSV UTF-8'"):
        read_table(path)
    path.write_text("filename,labels,Labels\n", encoding="utf-8")
    with pytest.raises(ValueError, match="two columns have the same name"):
        read_table(path)


def test_many_equal_faults_are_one_sentence(tmp_path):
    complaints = Complaints(tmp_path / "labels.csv")
    complaints.raise_if_any()
    for row in range(2, 9):
        complaints.add("not good; make it good", row, f"'{row}.wav'")
    complaints.add("odd", 3, "")
    first, second = complaints.sentences()
    assert "labels.csv: row 2 '2.wav', row 3 '3.wav', " in first
    assert first.endswith("row 6 '6.wav' and 2 more: not good; make it good")
    assert second.endswith("labels.csv: row 3: odd")
    with pytest.raises(ValueError, match=r"(?s)not good.*odd"):
        complaints.raise_if_any()
    assert some_of(["a", "b"], 2) == "a, b"
