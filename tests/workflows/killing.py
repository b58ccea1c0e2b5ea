"""Starts a command again and again, kills it at random moments, lets it end at last; prints how often it hit.

Forks, so that what takes long to load is loaded once. Nothing here may start a thread before.
"""

import io
import json
import os
import random
import signal
import sys
import time

from rich.console import Console

from bioacoustics.workflows import traverse
from bioacoustics.workflows.embed import EmbedConfig, embed

traverse.ROWS_PER_COMMIT = 1


def start(settings: dict[str, object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            embed(EmbedConfig.model_validate(settings), Console(file=io.StringIO()))
        except BaseException as error:  # the parent only sees the exit code
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def main() -> None:
    settings, undisturbed, num_kills = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    began = time.monotonic()
    _, status = os.waitpid(start({**settings, "output": undisturbed}), 0)
    assert status == 0
    duration_s = time.monotonic() - began
    rng, num_hits = random.Random(0), 0
    for _ in range(num_kills):
        child = start(settings)
        time.sleep(rng.uniform(0.02, 0.8) * duration_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        num_hits += os.WIFSIGNALED(status)
    _, status = os.waitpid(start(settings), 0)
    assert status == 0
    print(num_hits)


if __name__ == "__main__":
    main()
