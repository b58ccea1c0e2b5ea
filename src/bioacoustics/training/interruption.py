"""Interruption: a run that is asked to save or stop does so after an update, in all processes alike."""

import signal
import threading
import time
from collections import deque
from enum import IntEnum
from types import FrameType, TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_SECOND_PRESS_S = 2.0  # torchrun passes Ctrl-C on to processes that the terminal has told already


class Interruption:
    """Notes SIGINT and SIGTERM instead of dying of them; outside the main thread it does nothing."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._noted_at = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What the shell expects of a process that ended by this signal: 130 or 143."""
        return 128 + (self.signal_number or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
            self._noted_at = time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._noted_at > _SECOND_PRESS_S:
            raise KeyboardInterrupt  # whoever presses twice does not want to wait for the save


class Wish(IntEnum):
    """What a process wants after an update; the values can be summed over processes."""

    GO_ON = 0
    SAVE = 1
    STOP = 1_000_000  # more than all processes together can wish to save


class Vote:
    """Lets all processes save or stop after the same update, without waiting for the device.

    Signals reach processes at different moments, clocks differ, and a process that saves or stops alone
    leaves the others waiting forever. So everyone's wish is summed with each update, and acted on two updates
    later, when the sum has arrived.
    """

    LAG = 2

    def __init__(self) -> None:
        self._votes: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def cast(self, total: Float[Tensor, ""]) -> None:
        """Note the sum of the wishes of all processes after an update."""
        event = None
        if total.is_cuda:
            total = total.to("cpu", non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._votes.append((total, event))

    def decision(self) -> Wish:
        """What to do now; the same answer in every process."""
        if len(self._votes) <= self.LAG:
            return Wish.GO_ON
        total, event = self._votes.popleft()
        if event is not None:
            event.synchronize()
        return Wish.STOP if total >= Wish.STOP else Wish.SAVE if total >= Wish.SAVE else Wish.GO_ON
