"""Team: the processes that share one run over recordings, each with recordings of its own."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

from rich.console import Console
from torch import distributed

from bioacoustics.objectives.processes import leave_at_exit
from bioacoustics.workflows.survey import Outcome

PATIENCE = timedelta(days=30)  # whoever is ready first waits for the others, however much they have
Given = ParamSpec("Given")
Opened = TypeVar("Opened")
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Team:
    """This process among those that `torchrun` or `accelerate launch` started."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> "Team":
        """As the environment says; alone where it says nothing."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        return cls(int(os.environ["RANK"]), size) if size > 1 else cls()

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and tidies up for all."""
        return self.rank == 0

    def mine(self, things: Sequence[Thing]) -> list[Thing]:
        """Things are dealt out one by one; every process must have the same of them, in the same order."""
        return list(things[self.rank :: self.size])

    def console(self, console: Console) -> Console:
        """The console for the first process, silence for the others."""
        return console if self.is_first else Console(quiet=True)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            self._meet()
            distributed.barrier()

    @contextmanager
    def in_turns(self) -> Iterator[None]:
        """The first process does something alone, then the others; nobody goes on before all have."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()
        self.wait()

    def hand_over(self, outcome: Outcome) -> None:
        """Tell the first process what was found wrong; all others end here, their work is done."""
        if self.size == 1:
            return
        self._meet()
        outcomes: list[Outcome | None] = [None] * self.size
        distributed.gather_object(outcome, outcomes if self.is_first else None)
        distributed.destroy_process_group()
        if not self.is_first:
            raise SystemExit(0)
        for other in outcomes[1:]:
            assert other is not None
            outcome.join(other)

    def _meet(self) -> None:
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=PATIENCE)
            leave_at_exit()


def opened_in_turns(open_it: Callable[Given, Opened]) -> Callable[Given, Opened]:
    """Let the first process of a team open something, and make it if need be, before the others do."""

    @wraps(open_it)
    def in_turns(*args: Given.args, **kwargs: Given.kwargs) -> Opened:
        with Team.here().in_turns():
            return open_it(*args, **kwargs)

    return in_turns
