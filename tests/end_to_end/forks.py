"""Runs commands one after the other, each in a fork, ends some by SIGKILL, and prints what each has said.

Standard input: JSON, a list of {"words": the command line, "kill_after": lines that must be read, one after
the other, before the kill; empty: the command comes to its end}. Forks, so that what takes long to load is
loaded once; nothing here may start a thread before.
"""

import json
import os
import signal
import sys
import time

from bioacoustics.cli.commands import main as run_command

DELAY_S = 0.01  # so that the kill falls into the update that follows


def run(words: list[str], kill_after: list[str]) -> dict[str, object]:
    """The exit code (negative: the signal) and the output of one command."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 2)
        sys.argv = ["bioacoustics", *words]
        code = 1
        try:
            run_command()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    said, awaited = [], list(kill_after)
    with os.fdopen(reading, encoding="utf-8") as lines:
        for line in lines:
            said.append(line)
            if awaited and line.startswith(awaited[0]):
                awaited.pop(0)
                if not awaited:
                    time.sleep(DELAY_S)
                    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return {"code": os.waitstatus_to_exitcode(status), "said": "".join(said)}


if __name__ == "__main__":
    print(json.dumps([run(job["words"], job["kill_after"]) for job in json.load(sys.stdin)]))
