"""Writing files so that a crash or a full disk never leaves half of one."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_STALE_AFTER_S = 600.0


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends without an error.

    It is written beside `path`, flushed to the disk and renamed, so that a reader finds the old file or the
    new one and never a part. After an error the old file is whole and nothing of the new one is left.
    """
    _remove_stale(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _remove_stale(path: Path) -> None:
    """Remove what killed processes left half-written; files that still grow are younger than the limit."""
    prefix, suffix = f".{path.name}.", ".partial"
    for entry in path.parent.iterdir():
        if entry.name.startswith(prefix) and entry.name.endswith(suffix):
            with suppress(OSError):
                if time.time() - entry.stat().st_mtime > _STALE_AFTER_S:
                    entry.unlink()


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there, and renames are flushed with the volume
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
