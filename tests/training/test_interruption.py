import os
import signal
import threading
import time

import pytest
import torch

from bioacoustics.training import interruption as module
from bioacoustics.training.interruption import Interruption, Vote, Wish

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send itself these signals")


@needs_signals
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_is_noted_and_handlers_come_back(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.signal_number is None
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # torchrun passes Ctrl-C on a second time at once
        time.sleep(0.01)
        assert interruption.signal_number == number
        assert interruption.exit_code == code
    assert signal.getsignal(number) == before


@needs_signals
def test_second_press_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECOND_PRESS_S", 0.0)
    with Interruption(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)


def test_other_threads_leave_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def look() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_vote_is_acted_on_two_updates_later() -> None:
    vote = Vote()
    decisions = []
    save, stop = float(Wish.SAVE), float(Wish.STOP)
    for wishes in (0.0, save, 0.0, stop, 2 * stop + save, 0.0, 0.0):
        vote.cast(torch.tensor(wishes))
        decisions.append(vote.decision())
    go_on = Wish.GO_ON
    assert decisions == [go_on, go_on, go_on, Wish.SAVE, go_on, Wish.STOP, Wish.STOP]
