"""The worker: a process that computes for the page, told by JSON lines and telling how far it is.

A process, not a thread: it can be ended in the middle of a library's loop, and the page never waits for it.
It is started by name, not forked, so that it works alike on Linux, macOS and Windows.
"""

import json
import sys
from pathlib import Path
from typing import TextIO

from bioacoustics.explorer.carrying_out import carry_out
from bioacoustics.explorer.requests import REQUEST
from bioacoustics.explorer.steps import Step


def work(requests: TextIO, answers: TextIO) -> None:
    """Carry out requests until there are no more; an error is told and the next request is waited for."""
    for line in requests:
        asked = json.loads(line)
        number, path = asked["number"], Path(asked["path"])

        def tell(share: float, step: Step, number: int = number) -> None:
            _say(answers, number=number, share=share, step=step)

        try:
            carry_out(REQUEST.validate_python(asked["request"]), path, tell)
        except (ValueError, OSError, ImportError, MemoryError) as error:
            _say(answers, number=number, error=str(error) or type(error).__name__)
        else:
            _say(answers, number=number, done=True)


def _say(answers: TextIO, **said: object) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


if __name__ == "__main__":
    channel, sys.stdout = sys.stdout, sys.stderr  # whatever libraries print must not come between the lines
    work(sys.stdin, channel)
