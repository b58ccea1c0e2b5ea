"""Older stores are brought up to date, step by step, also after a kill; newer ones are refused."""

import pytest

from bioacoustics.store.database import Store
from bioacoustics.store.migration import STEPS, migrate
from bioacoustics.store.schema import SCHEMA_VERSION


def test_there_is_a_step_from_every_older_version() -> None:
    assert set(STEPS) == set(range(1, SCHEMA_VERSION))


def test_missing_steps_are_taken_in_order_and_noted(store: Store) -> None:
    def add_weather(tables: object) -> None:
        store.table("windows").add_columns({"rain": "false"})

    def fail(tables: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(store, {1: add_weather, 2: fail}, to_version=3)
    assert store.fact("schema_version") == 2
    seen: list[int] = []
    migrate(store, {1: fail, 2: lambda tables: seen.append(2)}, to_version=3)
    assert seen == [2]
    assert store.fact("schema_version") == 3
    assert store.count("windows", "NOT rain") == 400


def test_a_newer_store_is_refused(store: Store) -> None:
    store.state("schema_version", SCHEMA_VERSION + 1)
    with pytest.raises(
        ValueError, match=r"schema 2 and this version of bioacoustics knows 1: install a newer"
    ):
        Store.open(store.location)
