"""Writing tensors: the old file or the new one, and nothing else left behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bioacoustics.models.writing import write_torch

FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from bioacoustics.models.writing import write_torch
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_torch({"w": torch.ones(300, 300)}, path)
except OSError as error:
    print("OSError", error)
"""


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


class FullDisk:
    """A file on a disk that is full after some bytes."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[type, tuple[()]]:
        raise self.error


def test_an_error_while_saving_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    write_torch({"w": torch.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="could not write"):
        write_torch({"x": FullDisk(RuntimeError("unexpected position"))}, path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["a.pt"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a thing of POSIX")
@pytest.mark.parametrize("folder", ["plain", "Grabación Ñandú 2026"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "model.pt"
    path.parent.mkdir()
    write_torch({"w": torch.zeros(2)}, path)
    before = path.read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.startswith("OSError"), ran.stderr
    assert "too large" in ran.stdout  # the system's own reason reaches the user
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["model.pt"]


def test_two_equal_contents_make_two_equal_files(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        write_torch({"w": torch.arange(5.0)}, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
