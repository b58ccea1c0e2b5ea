"""Several processes begin, stop and end like one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioacoustics.cli.processes import run_processes

CHILD = """
import os, signal, sys, time
from pathlib import Path
from bioacoustics.cli.processes import die_with_parent

die_with_parent()
rank = os.environ["RANK"]
folder = Path(sys.argv[1])

def stop(number, frame):
    (folder / f"{rank}.signal").write_text(str(number))
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
(folder / f"{rank}.pid").write_text(str(os.getpid()))
exec(sys.argv[2 + int(rank)])
"""
PARENT = """
import os, sys
from bioacoustics.cli.processes import run_processes
sys.exit(run_processes(sys.argv[1:], 2, os.environ))
"""
SLEEP = "time.sleep(60)"


def commands(folder: Path, first: str, second: str) -> list[str]:
    (folder / "child.py").write_text(CHILD)
    return [sys.executable, str(folder / "child.py"), str(folder), first, second]


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("", "", 0),
        ("sys.exit(3)", "time.sleep(0.3); sys.exit(3)", 3),
        ("time.sleep(3); (folder / 'whole').touch()", "sys.exit(3)", 3),  # no reason to end the other
        ("sys.exit(1)", SLEEP, 1),
        (SLEEP, "sys.exit(1)", 1),
    ],
)
def test_the_exit_code_of_one_process_is_that_of_all(
    tmp_path: Path, first: str, second: str, code: int
) -> None:
    start = time.monotonic()
    assert run_processes(commands(tmp_path, first, second), 2, os.environ) == code
    assert time.monotonic() - start < 30
    assert (tmp_path / "whole").exists() == ("whole" in first)


def test_processes_get_the_variables_of_torchrun(tmp_path: Path) -> None:
    names = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR"]
    check = f"assert [os.environ[n] for n in {names}] == [rank, rank, '2', '2', '127.0.0.1']"
    port = "assert 1024 < int(os.environ['MASTER_PORT']) < 65536"
    assert run_processes(commands(tmp_path, f"{check}; {port}", check), 2, os.environ) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_killed_process_is_spoken_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_processes(commands(tmp_path, SLEEP, "os.kill(os.getpid(), 9)"), 2, os.environ) == 137
    assert "process 1 was ended by SIGKILL: most often memory ran out" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_handed_on(tmp_path: Path, number: int) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *commands(tmp_path, SLEEP, SLEEP)])
    wait_for(tmp_path / "0.pid", tmp_path / "1.pid")
    parent.send_signal(number)
    assert parent.wait(timeout=30) == 128 + number
    assert [(tmp_path / f"{rank}.signal").read_text() for rank in range(2)] == [str(int(number))] * 2


@pytest.mark.skipif(os.name == "nt", reason="process numbers are asked for in another way there")
def test_nobody_lives_on_when_the_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *commands(tmp_path, SLEEP, SLEEP)])
    wait_for(tmp_path / "0.pid", tmp_path / "1.pid")
    parent.kill()
    parent.wait()
    for rank in range(2):
        number = int((tmp_path / f"{rank}.pid").read_text())
        deadline = time.monotonic() + 30
        while is_running(number):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def is_running(number: int) -> bool:
    status = Path(f"/proc/{number}/stat")
    if status.parent.parent.joinpath("self").exists():
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
