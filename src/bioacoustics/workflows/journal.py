"""The journal: what a run over recordings has committed, so that a killed one goes on where it was."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, JsonValue

from bioacoustics.inference.patch_scores import PatchGrid
from bioacoustics.inference.windows import Ending, Output
from bioacoustics.workflows.survey import Outcome

Key = tuple[str, str]  # id of the recording and channel


class RunSettings(BaseModel, frozen=True, extra="forbid"):
    """All that the numbers of a run depend on, besides the sound; saved with its results."""

    command: Literal["embed", "predict"]
    model: str  # fingerprint
    front_end: dict[str, JsonValue]  # how windows are cut, read and turned into numbers
    labels: tuple[str, ...] = ()
    multi_label: bool | None = None
    grid: PatchGrid | None = None  # of the patches that are kept with the scores
    model_path: str  # for the next reader's convenience: where the model lay

    @property
    def model_id(self) -> str:
        """The fingerprint as rows carry it."""
        return self.model[:16]

    @property
    def front_end_id(self) -> str:
        """The fingerprint of everything between the sound and the model, as rows carry it."""
        return hashlib.sha256(json.dumps(self.front_end, sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, saved: Mapping[str, Any]) -> list[str]:
        """What differs from the settings of an earlier run, in the words of the flags."""
        found = []
        if saved["command"] != self.command:
            found.append(f"it was made by {saved['command']}, not {self.command}")
        if saved["model"] != self.model:
            found.append(
                f"model: {saved['model'][:8]}… ({saved['model_path']}) there, "
                f"{self.model[:8]}… ({self.model_path}) now"
            )
        known = saved["front_end"]
        return found + [
            f"{name}: {known.get(name)} there, {self.front_end.get(name)} now"
            for name in sorted(known.keys() | self.front_end.keys())
            if known.get(name) != self.front_end.get(name)
        ]

    def check(self, saved: Mapping[str, Any], output: str) -> None:
        """Refuse to mix results.

        Raises:
            ValueError: the settings differ from those of an earlier run.
        """
        if found := self.differences(saved):
            raise ValueError(
                f"{output} holds results of other settings, which must not be mixed:\n  "
                + "\n  ".join(found)
                + "\nGive another --output, or --overwrite to throw the old results away"
            )


@dataclass(slots=True)
class Mark:
    """How far a take has got."""

    last_start_s: float | None = None  # of the last window committed
    is_done: bool = False
    findings: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Chunk:
    """What is committed at a time."""

    outputs: list[Output] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)


@runtime_checkable
class Journal(Protocol):
    """Where results are committed; a commit is there whole or not at all, whenever the process is killed."""

    def marks(self) -> dict[Key, Mark]:
        """What earlier runs have committed."""
        ...

    def commit(self, chunk: Chunk) -> None:
        """Keep a chunk, for good."""
        ...

    def finish(self, outcome: Outcome) -> str:
        """All is committed: make what the user asked for, and say in a few words what there is."""
        ...


def findings_text(outputs: Sequence[Output]) -> list[str]:
    """What was noticed in each window."""
    return [" ".join(sorted(finding.value for finding in output.findings)) for output in outputs]
