"""Tables appear whole or not at all."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from bioacoustics.formats.tables import TableWriter, write_rows

SCHEMA = pa.schema([("file", pa.string()), ("vector", pa.list_(pa.float32(), 2))])
PLAIN = pa.schema([("file", pa.string()), ("value", pa.float64())])


def test_parquet_keeps_vectors(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "vectors.parquet"
    with TableWriter(path, SCHEMA) as table:
        table.write({"file": ["ä.wav"], "vector": [[1.0, 2.0]]})
        table.write({"file": ["b.wav", "c.wav"], "vector": [[3.0, 4.0], [5.0, 6.0]]})
    assert table.num_rows == 3
    frame = pd.read_parquet(path)
    assert list(frame["file"]) == ["ä.wav", "b.wav", "c.wav"]
    assert frame["vector"][2].tolist() == [5.0, 6.0]


def test_csv_quotes_what_needs_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with TableWriter(path, PLAIN) as table:
        table.write({"file": ['say "hello", frog.wav'], "value": [0.5]})
    assert list(pd.read_csv(path)["file"]) == ['say "hello", frog.wav']


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_an_error_leaves_the_old_file_and_no_litter(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with TableWriter(path, PLAIN) as table:
        table.write({"file": ["old.wav"], "value": [1.0]})
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="power cut"), TableWriter(path, PLAIN) as table:
        table.write({"file": ["new.wav"], "value": [2.0]})
        raise RuntimeError("power cut")
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_unknown_ending_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written as \.csv or \.parquet"):
        TableWriter(tmp_path / "table.xlsx", PLAIN)


def test_small_tables_are_written_at_once(tmp_path):
    write_rows(tmp_path / "new" / "a.csv", ("file", "x"), [["ñ, 1.wav", 0.5], ['"b".wav', None]])
    assert (tmp_path / "new" / "a.csv").read_bytes().decode() == 'file,x\n"ñ, 1.wav",0.5\n"""b"".wav",\n'
