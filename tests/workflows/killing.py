"""Starts a command again and again, ends it at random moments, and prints the outputs completed at last.

Forks, so that what takes long to load is loaded once; nothing here may start a thread before. The end comes
from the kernel once the process has used a random time of the processor, however busy the machine is: like
SIGKILL, the signal of that timer lets nothing be cleaned up.
"""

import io
import json
import os
import random
import signal
import sys

from rich.console import Console

from bioacoustics.workflows import traverse
from bioacoustics.workflows.embed import EmbedConfig, embed

traverse.ROWS_PER_COMMIT = 1


def run(settings: dict[str, object], output: str, end_after_s: float = 0.0) -> tuple[bool, float]:
    """Whether the run came to its end, and the time of the processor that it used; 0 s never ends it."""
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_PROF, end_after_s)
        try:
            embed(EmbedConfig.model_validate({**settings, "output": output}), Console(file=io.StringIO()))
        except BaseException as error:  # the parent only sees the exit code
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    assert status in {0, signal.SIGPROF}, status
    return status == 0, usage.ru_utime + usage.ru_stime


def main() -> None:
    settings, folder, suffix, num_kills = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    _, duration_s = run(settings, f"{folder}/undisturbed{suffix}")
    rng, outputs = random.Random(0), [f"{folder}/killed 0{suffix}"]
    while num_kills:
        is_done, _ = run(settings, outputs[-1], rng.uniform(0.1, 0.9) * duration_s)
        if is_done:
            outputs.append(f"{folder}/killed {len(outputs)}{suffix}")
        num_kills -= not is_done
    run(settings, outputs[-1])
    print(json.dumps(outputs))


if __name__ == "__main__":
    main()
