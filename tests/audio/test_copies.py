"""Copies are found by content, whatever their names, and nothing else is taken for one."""

import numpy as np

from bioacoustics.audio.copies import find_copies


def test_same_bytes_are_copies_and_nearly_same_are_not(tmp_path):
    content = np.random.default_rng(0).bytes(100_000)
    altered = bytearray(content)
    altered[30_000] ^= 1  # where no piece is looked at
    files = {"a": content, "b": bytes(altered), "c": content, "d": content[:-1], "e": b"", "f": content}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    groups = find_copies([*paths, tmp_path / "absent"])
    assert [[path.name for path in group] for group in groups] == [["a", "c", "f"]]


def test_no_files_no_copies():
    assert find_copies([]) == []
