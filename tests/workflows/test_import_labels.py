"""Annotations become labels.csv that training reads, window labels and clips."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, cut
from bioacoustics.data.events import Event
from bioacoustics.data.labels import read_labels
from bioacoustics.data.splits import groups_of
from bioacoustics.workflows.import_labels import ImportLabelsConfig, import_labels, label_windows

RATE_HZ = 8000
RAVEN_HEAD = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tEspecie\n"
)


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Three recordings of 10 s, one annotated in Raven, one in Audacity, one without anything to hear."""
    for i, name in enumerate(("norte/a.wav", "sur/b.flac", "sur/c.wav", "sur/unheard.wav")):
        path = tmp_path / "grabación" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).normal(0, 0.05, 10 * RATE_HZ)
        soundfile.write(path, noise, RATE_HZ)
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "a.Table.1.selections.txt").write_text(
        RAVEN_HEAD + "1\tSpectrogram 1\t1\t0.5\t1.5\t100\t200\tcoquí\n"
        "2\tSpectrogram 1\t1\t4.5\t6.0\t100\t200\tcoquí, lluvia\n",
        encoding="utf-8",
    )
    (tables / "b.txt").write_text("8.0\t9.0\trana\n", encoding="utf-8")
    (tables / "c.txt").touch()
    (tables / "léeme.txt").write_text("notas\n", encoding="utf-8")
    return tmp_path


def rows_of(path: Path) -> list[tuple[str, ...]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)]


def config_of(folder: Path, **values: object) -> ImportLabelsConfig:
    return ImportLabelsConfig.model_validate(
        {
            "tables": folder / "tables",
            "data_dir": folder / "grabación",
            "output": folder / "out" / "labels.csv",
            "label_column": "Especie",
        }
        | values
    )


def test_labels_of_recordings(annotated: Path, console: Console, said: Callable[[], str]) -> None:
    outcome = import_labels(config_of(annotated), console)
    assert outcome.unusable == []
    path = annotated / "out" / "labels.csv"
    assert rows_of(path) == [
        ("filename", "labels"),
        ("norte/a.wav", "coquí,lluvia"),
        ("sur/b.flac", "rana"),
    ]
    table = read_labels(path, annotated / "grabación")
    assert table.vocabulary == ("coquí", "lluvia", "rana")
    assert "léeme.txt: neither Raven, Audacity, Kaleidoscope" in said()
    assert "taken for" not in said()
    assert "2 rows from 4 annotations of 3 labels" in said()


def test_labels_of_windows(annotated: Path, console: Console) -> None:
    import_labels(config_of(annotated, window_s=5.0, background="nada"), console)
    assert rows_of(annotated / "out" / "labels.windows.csv") == [
        ("filename", "start_s", "end_s", "labels", "group"),
        ("norte/a.wav", "0.0", "5.0", "coquí,lluvia", "norte/a.wav"),
        ("norte/a.wav", "5.0", "10.0", "coquí,lluvia", "norte/a.wav"),
        ("sur/b.flac", "0.0", "5.0", "nada", "sur/b.flac"),
        ("sur/b.flac", "5.0", "10.0", "rana", "sur/b.flac"),
        ("sur/c.wav", "0.0", "5.0", "nada", "sur/c.wav"),
        ("sur/c.wav", "5.0", "10.0", "nada", "sur/c.wav"),
    ]
    # Half a second of a call of one and a half is no half of it.
    import_labels(config_of(annotated, window_s=5.0, min_overlap=0.5), console)
    assert rows_of(annotated / "out" / "labels.windows.csv")[1:3] == [
        ("norte/a.wav", "0.0", "5.0", "coquí", "norte/a.wav"),
        ("norte/a.wav", "5.0", "10.0", "coquí,lluvia", "norte/a.wav"),
    ]


def test_clips_are_ready_for_finetune(annotated: Path, console: Console) -> None:
    clips = annotated / "clips"
    import_labels(config_of(annotated, window_s=5.0, clips_dir=clips), console)
    table = read_labels(annotated / "out" / "labels.csv", clips)
    assert table.warnings == () or all("one clip" in warning for warning in table.warnings)
    assert [clip.filename for clip in table.clips] == [
        "norte/a_0_5.flac",
        "norte/a_5_10.flac",
        "sur/b_5_10.flac",
    ]
    assert groups_of(table) == ("norte/a.wav", "norte/a.wav", "sur/b.flac")
    whole = soundfile.read(annotated / "grabación" / "norte" / "a.wav")[0]
    samples = soundfile.read(clips / "norte" / "a_5_10.flac")[0]
    np.testing.assert_array_equal(samples, whole[5 * RATE_HZ :])


def test_a_real_table(shared: Path, tmp_path: Path, console: Console) -> None:
    folder = shared / "data" / "recordings"
    import_labels(
        ImportLabelsConfig(
            tables=folder / "powdermill_recording1_segment07.Table.1.selections.txt",
            data_dir=folder,
            output=tmp_path / "labels.csv",
        ),
        console,
    )
    _, row = rows_of(tmp_path / "labels.csv")
    assert row[0] == "powdermill_recording1_segment07.flac"
    assert {"EATO", "NOCA", "WOTH"} <= set(row[1].split(","))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_window_labels_equal_the_obvious_version(data: st.DataObject) -> None:
    recording = Recording(
        path=Path("a"),
        relative_path="a",
        sample_rate_hz=10,
        num_channels=1,
        num_samples=data.draw(st.integers(10, 120)),
        container="WAV",
    )
    windows = cut(recording, SegmentConfig(window_s=2.0, stride_s=data.draw(st.sampled_from([1.0, 2.0]))))
    spans = data.draw(st.lists(st.tuples(st.integers(0, 110), st.integers(1, 60)), max_size=5))
    events = [
        Event(recording="a", start_s=start / 10, end_s=(start + length) / 10, label=f"l{i}")
        for i, (start, length) in enumerate(spans)
    ]
    share = data.draw(st.sampled_from([0.25, 0.5, 1.0]))
    for segment, labels in label_windows(windows, events, share):
        first, last = round(segment.start_s * 10), min(round(segment.end_s * 10), recording.num_samples)
        expected = []
        for i, (start, length) in enumerate(spans):
            shared = sum(first <= tick < last for tick in range(start, start + length))
            if shared > 0 and shared >= share * min(length, last - first) - 1e-6:
                expected.append(f"l{i}")
        assert list(labels) == sorted(expected)


def test_what_cannot_be_imported(annotated: Path, console: Console, said: Callable[[], str]) -> None:
    with pytest.raises(FileNotFoundError, match="give the folder of the recordings"):
        import_labels(config_of(annotated, data_dir=annotated / "absent"), console)
    with pytest.raises(ValueError, match=r"row 1: no column 'Species'"):
        import_labels(config_of(annotated, label_column="Species"), console)
    with pytest.raises(ValueError, match=r"léeme\.txt: neither Raven"):
        import_labels(config_of(annotated, tables=annotated / "tables" / "léeme.txt"), console)
    (annotated / "tables" / "b.txt").write_text("8.0\tx\trana\n")
    with pytest.raises(ValueError, match=r"b\.txt: row 1 .*correct the line"):
        import_labels(
            config_of(annotated, table_format="audacity", tables=annotated / "tables" / "b.txt"), console
        )
    (annotated / "tables" / "z.txt").write_text("1\t2\trana\n")
    with pytest.raises(ValueError, match=r"(?s)none of its annotations belongs to a recording .*'z'"):
        import_labels(config_of(annotated, tables=annotated / "tables" / "z.txt"), console)
    with pytest.raises(ValidationError, match="need windows: give --window_s"):
        config_of(annotated, background="nada")


def test_unreadable_recordings_are_told(annotated: Path, console: Console) -> None:
    (annotated / "grabación" / "sur" / "b.flac").write_bytes(b"")
    outcome = import_labels(config_of(annotated), console)
    assert [(file.relative_path, file.reason) for file in outcome.unusable] == [
        ("sur/b.flac", "it is empty (0 bytes)")
    ]
    assert [row[0] for row in rows_of(annotated / "out" / "labels.csv")] == ["filename", "norte/a.wav"]
