"""Processes: start the processes of one training on this machine, and end as they end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType

# A process with this variable holds the end of a pipe that closes when the one that started it is gone.
PARENT_VARIABLE = "BIOACOUSTICS_PARENT_HOLDS_STDIN"
# Exit codes of a process that did what it should: the others may take longer over the same.
GOOD_CODES = frozenset({0, 3, 128 + signal.SIGINT, 128 + signal.SIGTERM})
GRACE_S = 2.0  # between the failure of one process and the end of the others, which wait for it forever
POLL_S = 0.05


def run_processes(command: Sequence[str], num_processes: int, environment: Mapping[str, str]) -> int:
    """Run a command in several processes that find each other, and return the exit code of the whole.

    The variables are those of torchrun. It is not used for this because it turns every exit code into 1
    behind a traceback, and when it is killed its processes live on and write where the next attempt works.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        PARENT_VARIABLE: "1",
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(num_processes):
            own = {**environment, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(subprocess.Popen(list(command), env=own, stdin=subprocess.PIPE))
        return _exit_code(processes, received)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
        for number, handler in previous.items():
            signal.signal(number, handler)


def die_with_parent() -> None:
    """In a process that `run_processes` started: end at once when that one is killed."""
    if os.environ.pop(PARENT_VARIABLE, None) is None:
        return

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)  # nothing is ever written: this returns when the pipe closes
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()


def _exit_code(processes: Sequence["subprocess.Popen[bytes]"], received: list[int]) -> int:
    """Wait for all, hand signals on, and end the rest when one has failed; the first failure is the code."""
    failed: int | None = None  # rank
    give_up_at = float("inf")
    while running := [process for process in processes if process.poll() is None]:
        while received:
            _hand_on(received.pop(0), running)
        codes = [process.returncode for process in processes]
        bad = [rank for rank, code in enumerate(codes) if code is not None and code not in GOOD_CODES]
        if bad and failed is None:
            failed, give_up_at = bad[0], time.monotonic() + GRACE_S
        if time.monotonic() > give_up_at:
            for process in running:
                process.kill()
        time.sleep(POLL_S)
    codes = [process.returncode for process in processes]
    if failed is None:
        failed = next((rank for rank, code in enumerate(codes) if code), None)
    return 0 if failed is None else shell_code(failed, codes[failed])


def shell_code(rank: int, code: int) -> int:
    """The exit code of a process as a shell has it; one that was killed could not say so, so this does."""
    if code >= 0:
        return code
    name = signal.Signals(-code).name
    if -code not in {signal.SIGINT, signal.SIGTERM}:
        hint = ": most often memory ran out, then lower --micro_batch_size" if name == "SIGKILL" else ""
        print(f"error process {rank} was ended by {name}{hint}. The same command goes on", file=sys.stderr)
    return 128 - code


def _hand_on(number: int, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    if sys.platform == "win32":
        return  # its console tells all processes itself
    for process in processes:
        process.send_signal(number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
