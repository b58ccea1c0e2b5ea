"""Checkpoint: what a run leaves on disk, so that it survives a kill, a full disk and a change of machine."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field

from bioacoustics.models.writing import write_torch

_FORMAT_VERSION = 1
_STATE_NAME = "run_state.pt"
_WHY_NOT = {
    "num_updates": "the learning-rate schedule depends on it",
    "rows_per_update": "it is batch_size x update_freq x processes, of which only the product must stay",
    "num_windows": "the order of the data depends on it: files were added, removed or became readable",
    "seed": "everything random depends on it",
}


class CheckpointConfig(BaseModel, frozen=True, extra="forbid"):
    """When a run is saved. A kill loses at most `save_every` updates and about `save_minutes` of work."""

    save_every: int = Field(1000, ge=1)
    save_minutes: float = Field(15.0, gt=0)
    keep_every: int | None = Field(None, ge=1)  # also keep checkpoint_<update>.pt every so many updates
    keep_last: int | None = Field(None, ge=1)  # of these, only the newest so many; None: all


class Checkpoints:
    """The models and the state of one run in its folder; only one process writes them.

    `run_state.pt` alone decides where a run goes on: it holds everything that changes. checkpoint_last.pt,
    checkpoint_best.pt and checkpoint_<update>.pt are models to be used. Every file replaces its predecessor
    at once or not at all, so a kill at any moment leaves whole files.

    Args:
        folder: The run folder.
        config: When to save.
        settings: What must be equal when the run goes on, nested as it was configured.
        write_model: Writes the present model to a path, at once or not at all.
        warn: Tells the user something.
    """

    def __init__(
        self,
        folder: Path,
        config: CheckpointConfig,
        *,
        settings: Mapping[str, Any],
        write_model: Callable[[Path], None],
        warn: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._config = config
        self._settings = dict(_flat(settings))
        self._write_model = write_model
        self._warn = warn

    def load(self) -> dict[str, Any] | None:
        """The state of the run that was begun in this folder, or None.

        Raises:
            ValueError: The run was begun with other settings, or its state is damaged.
        """
        path = self._folder / _STATE_NAME
        if not path.exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            version, settings, state = saved["format_version"], saved["settings"], saved["state"]
        except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path} is damaged or no state of a run ({error}). Saving replaces it as a whole, so the "
                "disk or another program changed it: restore it from a copy, or move it away to begin anew"
            ) from error
        if version != _FORMAT_VERSION:
            raise ValueError(
                f"{path} was written by another version of bioacoustics (state format {version}, this one "
                f"reads {_FORMAT_VERSION}): go on with that version, or begin anew in another folder"
            )
        self._refuse_changes(settings)
        assert isinstance(state, dict)
        return state

    def remove_leftovers(self) -> None:
        """Remove what a kill left half-written."""
        for path in self._folder.glob(".*.partial"):
            path.unlink(missing_ok=True)

    def is_due(self, num_updates: int) -> bool:
        """Whether to save after so many updates."""
        return num_updates % self._config.save_every == 0 or self._keeps(num_updates)

    def save(self, num_updates: int, state: Mapping[str, Any]) -> bool:
        """Save the models and then the state; what cannot be written is told, and the old file stays.

        The models come first: a kill in between repeats some updates and writes the same models again, while
        the other order could lose a model for good.
        """
        if self._keeps(num_updates) and self.attempt(
            f"checkpoint_{num_updates}.pt", self._folder / f"checkpoint_{num_updates}.pt", self._write_model
        ):
            self._prune()
        self.save_model("checkpoint_last.pt")
        content = {"format_version": _FORMAT_VERSION, "settings": self._settings, "state": dict(state)}
        return self.attempt(_STATE_NAME, self._folder / _STATE_NAME, lambda path: write_torch(content, path))

    def save_model(self, name: str) -> bool:
        """Save the present model; True if it could be written."""
        return self.attempt(name, self._folder / name, self._write_model)

    def attempt(self, name: str, path: Path, write: Callable[[Path], None]) -> bool:
        """Write a file if the disk allows; a warning says if not."""
        try:
            write(path)
        except OSError as error:
            self._warn(
                f"{name} could not be written ({error.strerror or error}). What was saved before is whole; "
                f"training goes on and will try again. Free some space on the disk of {self._folder}"
            )
            return False
        return True

    def _keeps(self, num_updates: int) -> bool:
        return self._config.keep_every is not None and num_updates % self._config.keep_every == 0

    def _prune(self) -> None:
        if self._config.keep_last is None:
            return
        numbered = [path for path in self._folder.glob("checkpoint_*.pt") if path.stem[11:].isdecimal()]
        numbered.sort(key=lambda path: int(path.stem[11:]))
        for path in numbered[: -self._config.keep_last]:
            path.unlink(missing_ok=True)

    def _refuse_changes(self, before: Mapping[str, Any]) -> None:
        now = self._settings
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if not names:
            return
        changes = [_change(name, before.get(name), now.get(name)) for name in names]
        raise ValueError(
            f"{self._folder} holds a run that was begun with other settings:\n  "
            + "\n  ".join(changes)
            + "\nRepeat its settings to go on, or choose another folder to begin anew"
        )


def _change(name: str, before: object, now: object) -> str:
    why = _WHY_NOT.get(name.rpartition(".")[2])
    return f"{name} was {before!r}, now {now!r}" + (f" ({why})" if why else "")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name; lists and tuples are alike, as they are in JSON."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, list(value) if isinstance(value, tuple) else value
