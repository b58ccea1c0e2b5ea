"""From windows to events: predict hears once, and its scores become events in every format."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from patch_models import LABELS, model_with
from rich.console import Console

from bioacoustics.audio.recordings import scan_recordings
from bioacoustics.formats.audacity import read_audacity
from bioacoustics.formats.event_tables import read_events
from bioacoustics.formats.kaleidoscope import read_kaleidoscope
from bioacoustics.formats.raven import read_raven
from bioacoustics.inference import patch_scores
from bioacoustics.inference.events import EventConfig, find_events
from bioacoustics.models.saved import load_classifier
from bioacoustics.store.database import Store
from bioacoustics.workflows import score_reading
from bioacoustics.workflows.events import EventsConfig, events
from bioacoustics.workflows.predict import PredictConfig, predict

NAMES = ["north/SITE1_20260301_053000.wav", "south/b.wav"]
FORMATS = "csv,parquet,raven,audacity,kaleidoscope"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_with(tmp_path_factory.mktemp("models"), "LIN_SOFTMAX")


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two channels with a time in its name, and one of twice the rate."""
    folder = tmp_path_factory.mktemp("tarjetas")
    for seed, (name, rate_hz, num_channels) in enumerate(zip(NAMES, (16_000, 32_000), (2, 1), strict=True)):
        rng = np.random.default_rng(seed)
        seconds = np.arange(int(5.3 * rate_hz)) / rate_hz
        sound = 0.02 * rng.standard_normal((len(seconds), num_channels))
        for channel in range(num_channels):
            tone = np.sin(2 * np.pi * 1800 * (seed + 1) * seconds)
            sound[:, channel] += 0.3 * (np.sin(2 * np.pi * (0.3 + channel) * seconds) > 0.2) * tone
        (folder / name).parent.mkdir()
        soundfile.write(folder / name, sound.astype(np.float32), rate_hz)
    return folder


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory, model: Path, cards: Path) -> Path:
    """What predict leaves when it is asked for all formats, both channels apart; its folder."""
    folder = tmp_path_factory.mktemp("salida")
    predicting(model, cards, folder / "p.csv", events=FORMATS, channel="each", deployments=zones(folder))
    return folder


def zones(folder: Path) -> Path:
    path = folder / "deployments.csv"
    path.write_text("folder,site,zone\nnorth,SITE1,America/Bogota\n")
    return path


def predicting(model: Path, data_dir: Path, output: Path, **changes: object) -> None:
    settings = {"model_path": model, "data_dir": data_dir, "output": output, "device": "cpu"}
    rules = {"open_at": 0.5, "close_at": 0.45, "window_s": 0.64, **changes}
    predict(PredictConfig.model_validate({**settings, **rules}), Console(file=io.StringIO()))


def slow_wide(model: Path, path: Path, channel: int) -> list[tuple[float, float, str]]:
    """Events of windows by the public face alone; patches can only narrow these."""
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    classifier = load_classifier(model)
    pieces = [samples[i : i + 10240, channel] for i in range(0, len(samples), 10240)]
    with torch.inference_mode():
        scores = np.stack([classifier(torch.from_numpy(piece)[None])[0].numpy() for piece in pieces])
    starts_s = np.arange(len(pieces)) * 0.64
    ends_s = np.minimum(starts_s + 0.64, len(samples) / rate_hz)
    found = find_events("x", starts_s, ends_s, scores, LABELS, EventConfig(open_at=0.5, close_at=0.45))
    return [(event.start_s, event.end_s, event.label) for event in found]


def test_events_lie_within_the_windows_that_named_them(heard: Path, cards: Path, model: Path) -> None:
    frame = pd.read_csv(heard / "p.csv.events" / "events.csv", dtype={"channel": str})
    for channel in (0, 1):
        mine = frame[(frame["file"] == NAMES[0]) & (frame["channel"] == str(channel))]
        wide = slow_wide(model, cards / NAMES[0], channel)
        assert wide and len(mine)
        homes = set()
        for row in mine.itertuples():
            home = next(
                span
                for span in wide
                if span[2] == row.label and span[0] - 1e-6 <= row.start_s and row.end_s <= span[1] + 1e-6
            )
            homes.add(home)
        assert homes == set(wide), "no event was lost"
    assert (frame["low_hz"] < frame["high_hz"]).all()
    assert (frame["end_s"] - frame["start_s"]).min() < 0.64
    assert set(frame["threshold"]) == {0.5}


def test_rows_tell_when_where_and_by_what(heard: Path, model: Path) -> None:
    frame = pd.read_csv(heard / "p.csv.events" / "events.csv", dtype={"channel": str})
    north = frame[frame["file"] == NAMES[0]]
    moments = pd.Timestamp("2026-03-01T05:30:00-05:00") + pd.to_timedelta(north["start_s"], unit="s")
    assert (abs(pd.to_datetime(north["start_time"]) - moments) < pd.Timedelta("1ms")).all()
    assert north["start_time"].str.endswith("-05:00").all() and set(north["site"]) == {"SITE1"}
    scores = pd.read_parquet(heard / "p.csv.windows.parquet")
    for name in ("model", "front_end", "audio"):
        assert set(north[name]) == set(scores.loc[scores["file"] == NAMES[0], name])


def test_all_formats_tell_the_same(heard: Path, cards: Path) -> None:
    folder, recordings = heard / "p.csv.events", scan_recordings(cards).recordings
    told = sorted(read_events(folder / "events.csv"))
    assert told == sorted(read_events(folder / "events.parquet"))

    def near(events: list) -> list:
        return sorted(
            (e.recording, round(e.start_s, 4), round(e.end_s, 4), e.label, e.low_hz) for e in events
        )

    combined = folder / "raven" / "all.selections.txt"
    assert near(read_raven(combined, recordings=recordings)) == near(told)
    apart = [
        event
        for name in NAMES
        for event in read_raven(folder / "raven" / f"{name}.selections.txt", recordings=recordings)
    ]
    assert near(apart) == near(told)
    tracks = [
        event
        for name in NAMES
        for event in read_audacity(folder / "audacity" / f"{name}.labels.txt", recording=name)
    ]
    assert near(tracks) == near(told)
    assert near(read_kaleidoscope(folder / "kaleidoscope.csv")) == near(told)
    table = pd.read_csv(combined, sep="\t")
    second = table[table["Begin File"] == "b.wav"]
    np.testing.assert_allclose(second["Begin Time (s)"] - second["File Offset (s)"], 5.3, atol=1e-5)
    assert set(table.loc[table["Begin File"] != "b.wav", "Channel"]) == {1, 2}


def test_other_rules_need_no_model(heard: Path, cards: Path, tmp_path: Path, model: Path) -> None:
    rules = {"open_at": 0.6, "max_gap_s": 0.7, "min_length_s": 0.2}
    folder = tmp_path / "again"
    scores = str(heard / "p.csv")
    config = {"scores": scores, "data_dir": cards, "events_dir": folder, "deployments": zones(tmp_path)}
    events(EventsConfig.model_validate({**config, **rules}), Console(file=io.StringIO()))
    predicting(
        model,
        cards,
        tmp_path / "q.csv",
        events="csv",
        channel="each",
        close_at=None,
        deployments=zones(tmp_path),
        **rules,
    )
    pd.testing.assert_frame_equal(
        pd.read_csv(folder / "events.csv"), pd.read_csv(tmp_path / "q.csv.events" / "events.csv")
    )


def test_time_expansion_gives_true_times_and_frequencies(model: Path, cards: Path, tmp_path: Path) -> None:
    """A recording whose rate is called four times as high is the same to a model that slows it four times."""
    samples, _ = soundfile.read(cards / NAMES[0], dtype="int16", always_2d=True)
    for name, rate_hz in (("slow", 16_000), ("fast", 64_000)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", samples[:, 0], rate_hz, subtype="PCM_16")
    predicting(model, tmp_path / "slow", tmp_path / "slow.csv", events="csv")
    predicting(model, tmp_path / "fast", tmp_path / "fast.csv", events="csv", time_expansion=4, window_s=0.16)
    slow, fast = (pd.read_csv(tmp_path / f"{name}.csv.events" / "events.csv") for name in ("slow", "fast"))
    assert len(slow) == len(fast) > 0
    for name, factor in (("start_s", 0.25), ("end_s", 0.25), ("low_hz", 4), ("high_hz", 4)):
        np.testing.assert_allclose(slow[name] * factor, fast[name], rtol=1e-3, atol=1e-3)


def test_a_head_that_hears_no_patches_gives_the_times_of_windows(tmp_path: Path, cards: Path) -> None:
    cls = model_with(tmp_path, "CLS_TOKEN")
    predicting(cls, cards, tmp_path / "p.parquet", events="csv", open_at=0.01, close_at=None)
    predicting(cls, cards, tmp_path / "p.lance", events="csv", open_at=0.01, close_at=None)
    table, store = events_of(tmp_path / "p.parquet"), events_of(tmp_path / "p.lance")
    assert table["low_hz"].isna().all() and len(table)
    np.testing.assert_allclose(table["start_s"] / 0.64, (table["start_s"] / 0.64).round(), atol=1e-6)
    pd.testing.assert_frame_equal(table[WITHOUT_SETTINGS], store[WITHOUT_SETTINGS])


WITHOUT_SETTINGS = [
    "file",
    "channel",
    "start_s",
    "end_s",
    "low_hz",
    "high_hz",
    "label",
    "score",
    "start_time",
]


def events_of(output: Path) -> pd.DataFrame:
    return pd.read_csv(output.with_name(f"{output.name}.events") / "events.csv", dtype={"channel": str})


@pytest.mark.parametrize(
    "rules", [{}, {"open_at": 0.6, "close_at": None, "max_gap_s": 0.7, "min_length_s": 0.2}]
)
def test_a_store_gives_the_events_of_a_table(
    tmp_path: Path, cards: Path, model: Path, rules: dict[str, object]
) -> None:
    """Heard once without a word of events, at other thresholds, and piece by piece."""
    stride = {"channel": "each", "stride_s": 0.3, "edge": "shift"}
    predicting(model, cards, tmp_path / "p.parquet", events="csv", **stride, **rules)
    predicting(model, cards, tmp_path / "p.lance", **stride)
    store = Store.open(tmp_path / "p.lance")
    rules = {"open_at": 0.5, "close_at": 0.45, **rules}
    config = EventsConfig.model_validate({"scores": tmp_path / "p.lance", "data_dir": cards, **rules})
    events(config, Console(file=io.StringIO()))
    table, again = events_of(tmp_path / "p.parquet"), events_of(tmp_path / "p.lance")
    assert (table["low_hz"] < table["high_hz"]).all() and len(table) > 5
    pd.testing.assert_frame_equal(table[WITHOUT_SETTINGS], again[WITHOUT_SETTINGS])
    assert store.count("patch_scores") <= store.count("scores")


def test_a_store_keeps_patches_only_where_something_stands_out(
    tmp_path: Path, cards: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_scores, "LOWEST", 0.55)
    monkeypatch.setattr(score_reading, "ROWS_AT_ONCE", 3)
    predicting(model, cards, tmp_path / "p.lance", events="csv", open_at=0.6, close_at=0.56)
    predicting(model, cards, tmp_path / "p.csv", events="csv", open_at=0.6, close_at=0.56)
    store = Store.open(tmp_path / "p.lance")
    scores = store.table("scores").to_pandas().set_index("id")["scores"]
    kept = store.table("patch_scores").to_pandas().set_index("id")["kept"]
    assert 0 < len(kept) < len(scores)
    for name, of_window in scores.items():
        labels = set(np.flatnonzero(of_window >= 0.55).tolist())
        assert {number for number in kept.get(name, ()) if number >= 0} == labels
    table = events_of(tmp_path / "p.csv")
    assert len(table)
    pd.testing.assert_frame_equal(table[WITHOUT_SETTINGS], events_of(tmp_path / "p.lance")[WITHOUT_SETTINGS])
    # Below what is kept, an event has the times of its windows.
    config = EventsConfig(scores=str(tmp_path / "p.lance"), data_dir=cards, open_at=0.4)
    events(config, Console(file=io.StringIO()))
    assert events_of(tmp_path / "p.lance")["low_hz"].isna().any()


def test_thrown_away_scores_take_their_patches_along(tmp_path: Path, cards: Path, model: Path) -> None:
    predicting(model, cards, tmp_path / "p.lance")
    before = Store.open(tmp_path / "p.lance").count("patch_scores")
    with pytest.raises(ValueError, match=r"window_s: 0\.64 there, 1.28 now"):
        predicting(model, cards, tmp_path / "p.lance", window_s=1.28)
    predicting(model, cards, tmp_path / "p.lance", window_s=1.28, overwrite=True)
    store = Store.open(tmp_path / "p.lance")
    assert 0 < store.count("patch_scores") <= store.count("scores") < before
    rows = store.table("patch_scores").to_pandas()
    widths = {len(row.patches) / (8 * (row.kept >= 0).sum()) for row in rows.itertuples()}
    assert widths == {8, 2}, "windows of 1.28 s, and the rest of 5.3 s"
    assert store.fact(f"predict {rows['model'][0]}")["grid"]["column_s"] == 0.16


def test_a_table_without_scores_of_windows_is_refused(tmp_path: Path, cards: Path, model: Path) -> None:
    predicting(model, cards, tmp_path / "p.csv", open_at=None, close_at=None)
    config = EventsConfig(scores=str(tmp_path / "p.csv"), data_dir=cards)
    with pytest.raises(ValueError, match="--per window"):
        events(config, Console())
    with pytest.raises(ValueError, match="close_at needs --open_at"):
        predicting(model, cards, tmp_path / "q.csv", open_at=None)


KILLED = """
import os, signal, sys
from pathlib import Path
from rich.console import Console
from bioacoustics.workflows import traverse
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.store_journal import StoreJournal
from bioacoustics.workflows.table_journal import TableJournal
traverse.ROWS_PER_COMMIT = 1
model, data_dir, output, num_commits = sys.argv[1:]
seen = []
for journal in (TableJournal, StoreJournal):
    def killed(self, chunk, commit=journal.commit):
        commit(self, chunk)
        seen.append(1)
        if len(seen) == int(num_commits):
            os.kill(os.getpid(), signal.SIGKILL)
    journal.commit = killed
settings = dict(model_path=model, data_dir=data_dir, output=output, device="cpu", window_s=0.64)
predict(PredictConfig(**settings, events="csv,raven", open_at=0.5, close_at=0.45), Console())
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize("suffix", [".csv", ".lance"])
def test_a_killed_run_ends_with_the_same_events(
    tmp_path: Path, model: Path, cards: Path, suffix: str
) -> None:
    whole, killed = (tmp_path / f"{name}{suffix}" for name in ("whole", "killed"))
    predicting(model, cards, whole, events="csv,raven")
    words = [sys.executable, "-c", KILLED, str(model), str(cards), str(killed)]
    done = subprocess.run([*words, "6"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / f"killed{suffix}.events").exists()
    predicting(model, cards, killed, events="csv,raven")
    pd.testing.assert_frame_equal(events_of(whole), events_of(killed), rtol=1e-3)


def test_events_are_called_as_a_table_says(heard: Path, cards: Path, model: Path, tmp_path: Path) -> None:
    """Only the names change, in every format; predict makes the same as events, and both say who has none."""
    table = tmp_path / "names.csv"
    table.write_text("label,en,es\ncoquí,Coqui,Coquí común\nowl,Owl,Búho\n", encoding="utf-8")
    names = {"coquí": "Coquí común", "owl": "Búho", "rain": "rain"}
    screen = io.StringIO()
    config = EventsConfig.model_validate(
        {
            **{"scores": heard / "p.csv", "data_dir": cards, "events": FORMATS, "events_dir": tmp_path / "e"},
            **{"open_at": 0.5, "close_at": 0.45, "names": table, "name_column": "es"},
        }
    )
    events(config, Console(file=screen, width=1000))
    assert "no name for rain" in screen.getvalue()
    before = pd.read_csv(heard / "p.csv.events" / "events.csv")
    after = pd.read_csv(tmp_path / "e" / "events.csv")
    assert set(before["label"]) & {"coquí", "owl"}
    before["label"] = before["label"].map(names)
    columns = ["file", "channel", "start_s", "end_s", "label", "score", "low_hz", "high_hz", "threshold"]
    # Events that begin together stand in the order of their names.
    ordered = [frame[columns].sort_values(columns, ignore_index=True) for frame in (before, after)]
    pd.testing.assert_frame_equal(*ordered)
    assert {one.label for one in read_kaleidoscope(tmp_path / "e" / "kaleidoscope.csv")} <= set(
        names.values()
    )
    predicting(model, cards, tmp_path / "p.csv", events="csv", channel="each", names=table, name_column="es")
    again = pd.read_csv(tmp_path / "p.csv.events" / "events.csv")
    assert again["label"].tolist() == after["label"].tolist()
    with pytest.raises(ValueError, match="choose with --name_column: en, es"):
        predicting(model, cards, tmp_path / "q.csv", names=table)
    assert not (tmp_path / "q.csv").exists()
    with pytest.raises(ValueError, match="give the table with --names"):
        predicting(model, cards, tmp_path / "q.csv", name_column="es")
