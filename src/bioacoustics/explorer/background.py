"""Background: work beside the page, with progress, a way to cancel it, and the last result kept meanwhile."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bioacoustics.explorer.requests import AnyRequest, answer_path
from bioacoustics.explorer.steps import STARTING, Step

State = Literal["empty", "running", "done", "failed", "cancelled"]
IDLE_S = 60.0  # until a process without work is ended
_COMMAND = (sys.executable, "-m", "bioacoustics.explorer.worker")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far the work of a slot is.

    Attributes:
        state: "done" means that `result` answers the newest request.
        progress: The share of the running work that is done.
        step: What is being done now.
        error: Why the newest request failed, in a sentence.
        request: The newest request.
        result: Where the newest answer lies, kept while another of the same windows is computed; or None.
        answered: The request that `result` answers.
    """

    state: State = "empty"
    progress: float = 0.0
    step: Step = STARTING
    error: str = ""
    request: AnyRequest | None = None
    result: Path | None = None
    answered: AnyRequest | None = None


@dataclass
class _Slot:
    status: Status = field(default_factory=Status)
    process: subprocess.Popen[str] | None = None
    number: int = 0  # of the newest request; what an older one still says is not heard
    num_ended: int = 0  # requests that were worked on until they were done, failed or cancelled


class Jobs:
    """Work in slots, such as "map" and "clusters", each with a process of its own.

    A process stays warm for a while after its work. Use it as a context manager or `close` it; several
    threads may use it.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.RLock()

    def ask(self, slot: str, request: AnyRequest) -> Status:
        """Have a request answered; what the slot was working on before is given up.

        An answer that is in the cache is there at once. To ask again for what runs already, or what failed or
        was cancelled, changes nothing: `retry` begins it anew.
        """
        with self._lock:
            held = self._slots.setdefault(slot, _Slot())
            if held.status.request == request and held.status.state != "empty":
                return held.status
            return self._begin(slot, held, request)

    def retry(self, slot: str) -> Status:
        """Begin the newest request of a slot again."""
        with self._lock:
            held = self._slots[slot]
            if held.status.request is None or held.status.state == "running":
                return held.status
            return self._begin(slot, held, held.status.request)

    def status(self, slot: str) -> Status:
        """How far the work of a slot is."""
        with self._lock:
            return self._slots.setdefault(slot, _Slot()).status

    def num_ended(self, slots: Iterable[str]) -> int:
        """How much work in these slots has ended so far; it differs from before once there is news."""
        with self._lock:
            return sum(self._slots[slot].num_ended for slot in slots if slot in self._slots)

    def cancel(self, slot: str) -> Status:
        """Give up the running work, now; the result before it stays."""
        with self._lock:
            held = self._slots.setdefault(slot, _Slot())
            if held.status.state == "running":
                self._end(held)
                self._becomes(held, replace(held.status, state="cancelled"))
            return held.status

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            for held in self._slots.values():
                self._end(held)

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, slot: str, held: _Slot, request: AnyRequest) -> Status:
        if held.status.state == "running":
            self._end(held)
        path = answer_path(request, self.cache)
        if path.exists():
            held.status = Status(state="done", progress=1.0, request=request, result=path, answered=request)
            return held.status
        known = held.status.answered
        is_kept = known is not None and known.subject == request.subject
        held.status = Status(
            state="running",
            request=request,
            result=held.status.result if is_kept else None,
            answered=known if is_kept else None,
        )
        held.number += 1
        process = self._process(slot, held)
        assert process.stdin is not None
        asked = {"number": held.number, "path": str(path), "request": request.model_dump(mode="json")}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        return held.status

    def _process(self, slot: str, held: _Slot) -> subprocess.Popen[str]:
        if held.process is None or held.process.poll() is not None:
            held.process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
            listening = (held, held.process)
            threading.Thread(target=self._listen, args=listening, name=f"hears {slot}", daemon=True).start()
        return held.process

    def _listen(self, held: _Slot, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._lock:
                    said = json.loads(line)
                    if held.process is process and said["number"] == held.number:
                        self._becomes(held, self._after(held.status, said))
                        if held.status.state != "running":
                            self._retire_later(held)
        process.wait()
        with self._lock:
            if held.process is process and held.status.state == "running":
                reason = (
                    f"the computing process ended by itself (code {process.returncode}); is memory short?"
                )
                self._becomes(held, replace(held.status, state="failed", error=reason))

    def _becomes(self, held: _Slot, status: Status) -> None:
        """What running work comes to."""
        held.status = status
        held.num_ended += status.state != "running"

    def _after(self, status: Status, said: dict[str, Any]) -> Status:
        assert status.request is not None
        if "error" in said:
            return replace(status, state="failed", error=str(said["error"]))
        if "done" in said:
            path = answer_path(status.request, self.cache)
            return replace(status, state="done", progress=1.0, result=path, answered=status.request)
        return replace(status, progress=float(said["share"]), step=Step(*said["step"]))

    def _retire_later(self, held: _Slot) -> None:
        """A process that nobody needs any more gives its memory back."""
        number = held.number

        def retire() -> None:
            with self._lock:
                if held.number == number and held.status.state != "running":
                    self._end(held)

        timer = threading.Timer(IDLE_S, retire)
        timer.daemon = True
        timer.start()

    def _end(self, held: _Slot) -> None:
        process, held.process = held.process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
