"""What the processes of a training share."""

import subprocess
import sys

import pytest

ENDS = """
import atexit
import torch.distributed as distributed
from bioacoustics.objectives.processes import leave_at_exit

distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
atexit.register(lambda: print("in a group:", distributed.is_initialized()))  # the last comes first
for _ in range(2):
    leave_at_exit()
"""


@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise SystemExit(3)", 3), ("raise OSError", 1)])
def test_a_process_leaves_its_group_however_it_ends(end: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", ENDS + end], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (code, "in a group: False"), done.stderr
