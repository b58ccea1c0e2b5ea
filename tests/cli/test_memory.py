"""Memory that is kept is not cleared again by the system."""

import subprocess
import sys

import pytest

from bioacoustics.cli.memory import keep_freed_memory

FAULTS = """
import resource, sys, torch
from bioacoustics.cli.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
for _ in range(20):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=False)
    if run.returncode == 3:
        pytest.skip("this C library has no such setting")
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of Linux' C library")
def test_pages_are_cleared_once_not_for_every_array() -> None:
    # An array of 64 MiB has 16384 pages (32 where the system takes large ones by itself).
    given_back, kept = faults("give back"), faults("keep")
    assert kept < given_back - 15 * 32


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
