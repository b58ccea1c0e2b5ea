"""Writing tensors so that a crash or a full disk never leaves half of a file."""

from pathlib import Path

import torch

from bioacoustics.audio.writing import atomic_write


def write_torch(content: object, path: Path) -> None:
    """`torch.save` that replaces the file at once or, when it fails, not at all.

    Raises:
        OSError: if it cannot be written, for example because the disk is full.
    """
    with atomic_write(path) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # torch's writer reports a failed write as an error of its own
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise OSError(f"could not write {path}: {error}") from error
