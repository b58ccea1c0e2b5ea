"""Preparing: a process of its own embeds recordings, and the page asks it how far it is."""

import json
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass

from bioacoustics.explorer.opening import OpeningConfig

LINES_KEPT = 40
UNUSABLE_FILES = 3  # the exit code of a run that did its work although some files could not be used


@dataclass(frozen=True, slots=True)
class Stage:
    """How far the process is."""

    name: str  # model, headers, embedding or done
    done: int = 0
    total: int = 1
    error: str = ""
    is_running: bool = True

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / max(self.total, 1))


class Preparation:
    """Runs `bioacoustics explore --embed_only` beside the page, so that the page never waits for a model."""

    def __init__(self, config: OpeningConfig) -> None:
        words = config.words()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bioacoustics", "explore", *words, "--embed_only"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stage = Stage("model")
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self._threads = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._hear, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stage(self) -> Stage:
        """How far it is now."""
        code = self._process.poll()
        if code is None:
            return self._stage
        for thread in self._threads:
            thread.join(timeout=1)
        is_well = code in {0, UNUSABLE_FILES}
        error = "" if is_well else _last_words(self._said) or f"exit code {code}"
        return Stage("done" if is_well else self._stage.name, 1, 1, error, is_running=False)

    def cancel(self) -> None:
        """End it; what was embedded is kept, and the next visit goes on from there."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line) if line.startswith("{") else {}
            if "stage" in told:
                self._stage = Stage(told["stage"], told["done"], told["total"])

    def _hear(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line.rstrip())


def _last_words(lines: "deque[str]") -> str:
    """The message of the error, as the command line prints it."""
    text = "\n".join(line for line in lines if line)
    return text.rpartition("error ")[2] if "error " in text else text
