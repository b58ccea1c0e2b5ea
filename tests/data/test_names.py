"""Names of labels come from a table that people write."""

from pathlib import Path

import pytest

from bioacoustics.data.names import read_names

TABLE = "Label;Scientific;es\ncoquí;Eleutherodactylus coqui;Coquí común\nowl;Pulsatrix;\nwolf;Canis;Lobo\n"


def table(folder: Path, text: str = TABLE) -> Path:
    path = folder / "names.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_column_is_chosen_and_labels_without_a_name_keep_theirs(tmp_path: Path) -> None:
    names, doubts = read_names(table(tmp_path), ("rain", "coquí", "owl"), "ES")
    assert names == {"rain": "rain", "coquí": "Coquí común", "owl": "owl"}
    assert len(doubts) == 1
    assert "no name for rain, owl" in doubts[0]
    assert read_names(table(tmp_path), ("coquí",), "scientific") == ({"coquí": "Eleutherodactylus coqui"}, ())


def test_one_column_needs_no_choice_and_accents_may_be_written_apart(tmp_path: Path) -> None:
    names, doubts = read_names(table(tmp_path, "label,es\ncoqui\u0301,Coquí  común\n"), ("coqu\u00ed",))
    assert names == {"coqu\u00ed": "Coquí común"}
    assert doubts == ()


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (TABLE, None, "choose with --name_column: scientific, es"),
        (TABLE, "fr", "no column 'fr'; its columns of names are scientific, es"),
        ("code,es\na,b\n", None, "label and a column of names are needed"),
        ("label,es\nowl,x\nowl,y\n", None, "row 3 'owl': the same label twice"),
        ("label,es\nowl,Búho\nrain,Búho\n", None, "owl and rain are both called 'Búho'"),
        ("label,es\nowl,rain\n", None, "owl and rain are both called 'rain'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, column: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_names(table(tmp_path, text), ("owl", "rain"), column)
