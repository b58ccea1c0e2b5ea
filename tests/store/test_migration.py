"""Older stores are brought up to date, step by step, also after a kill; newer ones are refused."""

from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from known_windows import DIM, window_rows

from bioacoustics.store.database import Store
from bioacoustics.store.migration import STEPS, migrate
from bioacoustics.store.schema import FIXED_SCHEMAS, PATCH_SCORES, SCHEMA_VERSION, SCORES, windows_schema


def test_there_is_a_step_from_every_older_version() -> None:
    assert set(STEPS) == set(range(1, SCHEMA_VERSION))


def test_missing_steps_are_taken_in_order_and_noted(store: Store) -> None:
    now = SCHEMA_VERSION

    def add_weather(tables: object) -> None:
        store.table("windows").add_columns({"rain": "false"})

    def fail(tables: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(store, {now: add_weather, now + 1: fail}, to_version=now + 2)
    assert store.fact("schema_version") == now + 1
    seen: list[int] = []
    migrate(store, {now: fail, now + 1: lambda tables: seen.append(2)}, to_version=now + 2)
    assert seen == [2]
    assert store.fact("schema_version") == now + 2
    assert store.count("windows", "NOT rain") == 400


def store_of_version_1(folder: Path) -> Path:
    """As the first version of this package made it, with 50 windows and the scores of 50."""
    connection = lancedb.connect(folder / "old.lance")
    rows = window_rows(50).drop_columns("time_source")
    connection.create_table("windows", rows)
    schema = pa.schema([field for field in SCORES if field.name != "time_source"])
    scores = [{**row, "predicted": "owl", "probability": 0.5, "scores": [0.5]} for row in rows.to_pylist()]
    connection.create_table("scores", pa.Table.from_pylist(scores, schema))
    for name in ("recordings", "progress", "labels"):
        connection.create_table(name, schema=FIXED_SCHEMAS[name])
    about = pa.Table.from_pylist([{"key": "schema_version", "value": "1"}], FIXED_SCHEMAS["about"])
    connection.create_table("about", about)
    return folder / "old.lance"


def test_a_store_of_version_1_is_brought_up_to_date_and_goes_on_growing(tmp_path: Path) -> None:
    store = Store.open(store_of_version_1(tmp_path))
    assert store.fact("schema_version") == SCHEMA_VERSION
    for name, expected in (("windows", windows_schema(DIM)), ("scores", SCORES)):
        schema = store.table(name).schema
        assert {field.name: field.type for field in schema} == {f.name: f.type for f in expected}
        assert store.count(name, "time_source = ''") == 50
    old = window_rows(50)
    assert store.rows("windows", ["id", "start_s"]).equals(old.select(["id", "start_s"]))
    np.testing.assert_array_equal(vectors_of(store), vectors_in(old))
    assert store.table("patch_scores").schema == PATCH_SCORES
    store.upsert("windows", window_rows(60))  # 50 of them heard anew
    assert store.count("windows") == 60
    assert store.count("windows", "time_source = 'name'") == 60
    np.testing.assert_array_equal(vectors_of(store), vectors_in(window_rows(60)))


def test_a_migration_that_was_killed_half_way_is_done_again(tmp_path: Path) -> None:
    path = store_of_version_1(tmp_path)
    lancedb.connect(path).open_table("windows").add_columns({"time_source": "cast('' as string)"})
    store = Store.open(path)
    assert store.fact("schema_version") == SCHEMA_VERSION
    assert store.count("scores", "time_source = ''") == 50


def vectors_of(store: Store) -> np.ndarray:
    return vectors_in(store.rows("windows", ["id", "vector"]).sort_by("id"))


def vectors_in(rows: pa.Table) -> np.ndarray:
    return np.stack(rows.sort_by("id")["vector"].to_numpy())


def test_a_newer_store_is_refused(store: Store) -> None:
    store.state("schema_version", SCHEMA_VERSION + 1)
    known = rf"schema {SCHEMA_VERSION + 1} and this version of bioacoustics knows {SCHEMA_VERSION}: install"
    with pytest.raises(ValueError, match=known):
        Store.open(store.location)
