"""Migration: bring the tables of an older store to the schema of this version, step by step."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from bioacoustics.store.schema import SCHEMA_VERSION


@runtime_checkable  # so that the tests can check it
class Tables(Protocol):
    """What a step may use: the store, as `database` makes it."""

    location: str

    def names(self) -> list[str]:
        """Which tables there are."""
        ...

    def table(self, name: str) -> Any:
        """A LanceDB table."""
        ...

    def make(self, name: str) -> None:
        """Make an empty table of the schema; nothing happens if there is one."""
        ...

    def fact(self, key: str) -> Any:
        """What the store says about itself."""
        ...

    def state(self, key: str, value: object) -> None:
        """Note a fact."""
        ...


def _say_how_times_are_known(store: Tables) -> None:
    """Rows of version 1 did not say where their time came from; they are left empty there."""
    for name in {"windows", "scores"} & set(store.names()):
        table = store.table(name)
        if "time_source" not in table.schema.names:
            table.add_columns({"time_source": "cast('' as string)"})


def _make_room_for_patches(store: Tables) -> None:
    """Version 2 kept scores of windows only; what was heard then has events with the times of windows."""
    store.make("patch_scores")


Step = Callable[[Tables], None]
# From each older version to the next; a step must bear to be repeated after a kill.
STEPS: Mapping[int, Step] = {1: _say_how_times_are_known, 2: _make_room_for_patches}


def migrate(store: Tables, steps: Mapping[int, Step] = STEPS, to_version: int = SCHEMA_VERSION) -> None:
    """Take the steps that are missing; the version is noted after each.

    Raises:
        ValueError: the store was made by a newer version of this package.
    """
    version = store.fact("schema_version")
    if version > to_version:
        raise ValueError(
            f"{store.location}: this store has schema {version} and this version of bioacoustics knows "
            f"{to_version}: install a newer bioacoustics"
        )
    while version < to_version:
        steps[version](store)
        version += 1
        store.state("schema_version", version)
