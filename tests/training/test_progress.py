import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from bioacoustics.training import progress as module
from bioacoustics.training.progress import Pace, Progress, time_left

ROW = {
    "update": 10,
    "loss": 1.23456,
    "learning_rate": 5e-4,
    "clips_per_s": 120.0,
    "audio_hours_per_hour": 1200.0,
    "seconds_per_update": 2.0,
    "elapsed_s": 20.0,
}


def said_on(*, terminal: bool, is_shown: bool = True) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with Progress(console, num_updates=100, is_shown=is_shown) as progress:
        progress.advance(10)
        progress.report(ROW)
        progress.report({"update": 10, "valid_loss": 2.5})
        progress.note("a note with [brackets]")
        progress.warn("a warning with [brackets]")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    assert said_on(terminal=False).splitlines() == [
        "update 10/100  loss 1.235  lr 5.00e-04  120 clips/s  1.2e+03 h/h  3 min left",
        "update 10/100  valid_loss 2.5",
        "a note with [brackets]",
        "warning a warning with [brackets]",
    ]


def test_bar_on_a_terminal() -> None:
    said = said_on(terminal=True)
    assert "10/100" in said
    assert "loss 1.235  lr 5.00e-04" in said
    assert "valid_loss 2.5" in said


def test_only_the_first_process_speaks() -> None:
    assert said_on(terminal=False, is_shown=False) == said_on(terminal=True, is_shown=False).strip() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (200_000, "2.3 days")],
)
def test_time_left_as_people_say_it(seconds: float, words: str) -> None:
    assert time_left(float(seconds)) == words


def test_pace_leaves_pauses_out() -> None:
    pace = Pace(rows_per_update=8, window_s=10.0)
    pace.resume(100, elapsed_s=50.0)
    time.sleep(0.05)
    pace.skip(100)
    time.sleep(0.02)
    row = pace.measure(104)
    assert 0.02 <= row["elapsed_s"] - 50.0 < 0.05
    assert row["clips_per_s"] == pytest.approx(8 / row["seconds_per_update"])
    assert row["audio_hours_per_hour"] == pytest.approx(10 * row["clips_per_s"])
    assert row["seconds_per_update"] == pytest.approx((row["elapsed_s"] - 50.0) / 4)


def test_tensorboard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'bioacoustics\[tensorboard\]'"):
        Progress(Console(), num_updates=1, is_shown=True, tensorboard_folder=tmp_path)


def test_slow_updates_do_not_leave_the_user_in_the_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    out = io.StringIO()
    progress = Progress(Console(file=out, width=100), num_updates=10, is_shown=True)
    with progress:
        for num_done in range(4, 7):  # a run that goes on after its third update
            now += 50.0
            progress.advance(num_done)
    assert out.getvalue().splitlines() == ["update 5/10  4 min left"]
