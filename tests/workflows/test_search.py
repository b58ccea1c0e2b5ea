"""Search by sound: what is alike is found, what is unlike sinks, and finds can be seen and heard."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from bioacoustics.formats.raven import read_raven
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.search import SearchConfig, search
from bioacoustics.workflows.survey import Outcome

RATE_HZ = 32_000


def chirps(start_hz: float, seed: int, num_s: int = 4) -> np.ndarray:
    """A rising note in each second, over a little noise."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    note = np.sin(2 * np.pi * (start_hz * time_s + 400 * time_s**2)) * np.exp(-(((time_s - 0.5) / 0.2) ** 2))
    noise = np.random.default_rng(seed).normal(0, 0.01, num_s * RATE_HZ)
    return (0.4 * np.tile(note, num_s) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Path:
    """Low, high and no notes, at two sites and hours, with their store beside them."""
    folder = tmp_path_factory.mktemp("Grabación [1]")
    (folder / "audio").mkdir()
    for name, sound in {
        "north_20260301_050000": chirps(800, 0),
        "north_20260301_230000": chirps(3000, 1),
        "south_20260301_050000": chirps(800, 2),
        "south_20260301_230000": np.random.default_rng(3).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32),
    }.items():
        soundfile.write(folder / "audio" / f"{name}.wav", sound, RATE_HZ)
    soundfile.write(folder / "low.wav", chirps(800, 9, 1), RATE_HZ)
    soundfile.write(folder / "noise.wav", np.random.default_rng(8).normal(0, 0.1, RATE_HZ), RATE_HZ)
    config = EmbedConfig(
        model_path=small_model, data_dir=folder / "audio", output=str(folder / "s.lance"), window_s=1.0,
        device="cpu", pooling="mean",
    )  # fmt: skip
    embed(config, Console(file=io.StringIO()))
    return folder


def found(card: Path, tmp_path: Path, **changes: Any) -> tuple[pd.DataFrame, Outcome]:
    settings = {"store": card / "s.lance", "like": (card / "low.wav",), "output": tmp_path / "finds.csv"}
    config = SearchConfig.model_validate({**settings, "device": "cpu", **changes})
    outcome = search(config, Console(file=io.StringIO()))
    return pd.read_csv(tmp_path / "finds.csv"), outcome


def test_what_is_alike_comes_first_and_a_bout_comes_once(card: Path, tmp_path: Path) -> None:
    finds, outcome = found(card, tmp_path)
    assert set(finds["file"][:2]) == {"north_20260301_050000.wav", "south_20260301_050000.wav"}
    assert len(finds) == 4  # a recording of 4 s is one bout
    assert list(finds["rank"]) == [1, 2, 3, 4]
    assert list(finds["bout_windows"]) == [4] * 4
    assert finds["score"].is_monotonic_decreasing
    assert finds["score"][1] > finds["score"][2]
    assert outcome.unusable == []
    windows, _ = found(card, tmp_path, bout_gap_s=0, top=3)
    assert len(windows) == 3


def test_counterexamples_count(card: Path, tmp_path: Path) -> None:
    like = (card / "low.wav", card / "noise.wav")
    both, _ = found(card, tmp_path, like=like)
    only, _ = found(card, tmp_path, like=like, unlike=(card / "noise.wav",), unlike_weight=1.0)
    noisy = "south_20260301_230000.wav"
    rank = {name: list(frame["file"]).index(noisy) for name, frame in (("both", both), ("only", only))}
    assert rank["only"] == 3
    assert rank["only"] >= rank["both"]
    score = {
        name: frame.set_index("file")["score"][noisy] for name, frame in (("both", both), ("only", only))
    }
    assert score["only"] < score["both"]


def test_filters_of_time_site_and_recording(card: Path, tmp_path: Path) -> None:
    dawn, _ = found(card, tmp_path, between=("04:00", "06:00"))
    assert set(dawn["start_time"].str[11:13]) == {"05"}
    assert len(dawn) == 2
    night, _ = found(card, tmp_path, between=("22:00", "03:00"), recording=("north*",))
    assert list(night["file"]) == ["north_20260301_230000.wav"]
    south, _ = found(card, tmp_path, site=("south",), diverse=True)
    assert set(south["file"].str[:5]) == {"south"}
    assert len(south) == 2


def test_finds_are_cut_shown_and_played_from_one_page(card: Path, tmp_path: Path) -> None:
    finds, _ = found(card, tmp_path, clips=tmp_path / "sheet", raven=tmp_path / "finds.txt", top=2)
    clips = sorted((tmp_path / "sheet").glob("*.wav"))
    assert len(clips) == 2
    for clip, row in zip(clips, finds.itertuples(), strict=True):
        samples, rate_hz = soundfile.read(clip)
        whole, _ = soundfile.read(card / "audio" / row.file)
        assert rate_hz == RATE_HZ
        expected = whole[round(row.start_s * RATE_HZ) : round(row.end_s * RATE_HZ)]
        np.testing.assert_allclose(samples, expected, atol=2e-4)
    html = (tmp_path / "sheet" / "index.html").read_text(encoding="utf-8")
    assert len(re.findall('src="data:image/png', html)) == 2
    sounds = re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', html)
    for sound in sounds:
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert len(samples) / rate_hz == pytest.approx(1.0, abs=0.1)  # MP3 counts in blocks
        assert 0.5 < np.abs(samples).max() <= 1
    assert len(sounds) == 2
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    events = read_raven(tmp_path / "finds.txt")
    assert [event.label for event in sorted(events, key=lambda one: one.label)] == ["find 1", "find 2"]


def test_recordings_that_moved_are_named_and_found_again(card: Path, tmp_path: Path) -> None:
    (card / "audio").rename(card / "moved")
    try:
        _, outcome = found(card, tmp_path, clips=tmp_path / "lost", top=2)
        assert len(outcome.unusable) == 2
        assert "--data_dir" in outcome.unusable[0].reason
        _, outcome = found(card, tmp_path, clips=tmp_path / "sheet", top=2, data_dir=card / "moved")
        assert outcome.unusable == []
        assert len(list((tmp_path / "sheet").glob("*.wav"))) == 2
    finally:
        (card / "moved").rename(card / "audio")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"like": ()}, ValueError, "--like: give at least one recording"),
        ({"like": (Path("no.wav"),)}, FileNotFoundError, "no.wav: there is no such recording"),
        ({"approximate": True}, ValueError, "has no index: run bioacoustics index"),
        ({"store": "nowhere.lance"}, FileNotFoundError, "there is no store"),
        ({"model_path": Path("gone.pt")}, FileNotFoundError, "is not there any more; give its place"),
    ],
)
def test_what_cannot_be_searched_is_said(
    card: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        found(card, tmp_path, **changes)


def test_filters_that_nothing_fits_are_told_with_the_sites(card: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of its 16 windows fits .* Its sites: 'north', 'south'"):
        found(card, tmp_path, site=("nowhere",))


def test_a_band_is_heard_in_the_examples_too(card: Path, tmp_path: Path, small_model: Path) -> None:
    """A store of what lies above 2 kHz: an example is found in itself only if it is limited alike."""
    config = EmbedConfig(
        model_path=small_model, data_dir=card / "audio", output=str(tmp_path / "high.lance"), window_s=1.0,
        device="cpu", pooling="mean", low_hz=2000.0,
    )  # fmt: skip
    embed(config, Console(file=io.StringIO()))
    example = card / "audio" / "north_20260301_230000.wav"
    finds, _ = found(card, tmp_path, store=tmp_path / "high.lance", like=(example,), top=1)
    assert finds["file"][0] == example.name
    whole, _ = found(card, tmp_path, like=(example,), top=1)
    assert finds["score"][0] == pytest.approx(whole["score"][0], abs=0.01)
    assert finds["score"][0] > 0.99


def test_another_model_is_refused(card: Path, tmp_path: Path, multi_label_model: Path) -> None:
    with pytest.raises(ValueError, match=r"is another model .* their vectors cannot be compared"):
        found(card, tmp_path, model_path=multi_label_model)
