"""Filters let through what a plain loop over the rows lets through."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from bioacoustics.store.database import Store
from bioacoustics.store.filters import Filter, second_of_day
from bioacoustics.store.labels import add_labels


def fitting(store: Store, chosen: Filter) -> set[str]:
    return set(store.rows("windows", ["id"], chosen.condition(store))["id"].to_pylist())


def times(store: Store) -> dict[str, str]:
    rows = store.rows("windows", ["id", "start_time"]).to_pylist()
    return {row["id"]: datetime.fromisoformat(row["start_time"]).strftime("%H:%M:%S") for row in rows}


@pytest.mark.parametrize(
    ("between", "is_inside"),
    [
        (("22:00", "22:10"), lambda time: "22:00:00" <= time < "22:10:00"),
        (("22:05:30", "22:06"), lambda time: "22:05:30" <= time < "22:06:00"),
        (("22:10", "04:00"), lambda time: time >= "22:10:00" or time < "04:00:00"),
        (("23:00", "24:00"), lambda time: time >= "23:00:00"),
    ],
)
def test_times_of_day_also_over_midnight(store: Store, between, is_inside) -> None:  # type: ignore[no-untyped-def]
    expected = {name for name, time in times(store).items() if is_inside(time)}
    assert fitting(store, Filter(between=between)) == expected


def test_sites_recordings_and_labels_must_all_fit(store: Store) -> None:
    south = fitting(store, Filter(sites=("it's south",)))
    assert south == {name for name in times(store) if name.startswith("r1")}
    assert fitting(store, Filter(sites=("it's south", "north"))) == set(times(store))
    assert fitting(store, Filter(recordings=("north/*",))) == set(times(store)) - south
    assert fitting(store, Filter(recordings=("*/r1.wav",), sites=("north",))) == set()
    add_labels(store, ["r0-mix-000001", "r1-mix-000002"], "owl", who="ana")
    add_labels(store, ["r1-mix-000003"], "owl", who="ana", is_present=False)
    assert fitting(store, Filter(labels=("owl",))) == {"r0-mix-000001", "r1-mix-000002"}
    assert fitting(store, Filter(labels=("owl", "frog"), sites=("north",))) == {"r0-mix-000001"}
    assert fitting(store, Filter(labels=("frog",))) == set()
    assert Filter().condition(store) == ""


def test_signs_of_sql_in_names_stand_for_themselves(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s.lance")
    store.make_windows(1)
    names = ["a_1.wav", "ab1.wav", "a%1.wav", "sub\\a_1.wav", "ñ'_1.wav"]
    rows = [{"id": name, "file": name, "vector": [0.0]} for name in names]
    store.upsert("windows", pa.Table.from_pylist(rows, store.table("windows").schema))
    for name in names:
        assert fitting(store, Filter(recordings=(name,))) == {name}
        assert fitting(store, Filter(recordings=(name.replace("1.w", "*"),))) == {name}


@pytest.mark.parametrize("time", ["4", "25:00", "24:01", "04:60", "dawn", ""])
def test_what_is_no_time_is_refused(time: str) -> None:
    with pytest.raises(ValidationError, match="a time of day is written like 04:30"):
        Filter(between=(time, "05:00"))


def test_seconds_of_a_day() -> None:
    assert [second_of_day(time) for time in ("0:00", "04:30", "22:05:30", "24:00")] == [
        0,
        16200,
        79530,
        86400,
    ]
