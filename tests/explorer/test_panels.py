"""Each panel is drawn on a small store without an error; labels are given, undone and taught with."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from bioacoustics.explorer.opening import CACHE_VARIABLE
from bioacoustics.store.database import Store
from bioacoustics.store.labels import add_labels, labels

BEGINS = datetime(2026, 3, 1, 21, 0, tzinfo=timezone(timedelta(hours=-5)))


def page(store: str, other: str) -> None:
    """What the test draws; it is taken out of this file and run by itself."""
    from pathlib import Path

    from bioacoustics.explorer.opening import OpeningConfig
    from bioacoustics.explorer.page import show

    show(OpeningConfig(store=Path(store), compare=Path(other)))


@pytest.fixture
def store(
    make_store: Callable[..., Store],
    score_windows: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Store]:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "caché"))
    st.config.set_option("server.address", "127.0.0.1")
    rng = np.random.default_rng(0)
    recordings = {
        f"r{i}": (f"site {i % 2}", BEGINS + timedelta(hours=26 * i), rng.normal(size=(8, 12)))
        for i in range(6)
    }
    made = make_store(recordings)
    make_store({name: (*facts[:2], facts[2][:, ::-1]) for name, facts in recordings.items()}, "other.lance")
    score_windows(made, {f"r{i}-mix-000000": [0.2, 0.8] for i in range(6)}, ("owl", "rain"))
    yield made
    st.cache_resource.clear()


@pytest.fixture
def drawn(store: Store, tmp_path: Path) -> AppTest:
    test = AppTest.from_function(
        page, default_timeout=300, args=(store.location, str(tmp_path / "other.lance"))
    )
    test.session_state["toured"] = True
    test.session_state["method"] = "pca"
    return test


def in_order(test: AppTest) -> AppTest:
    assert not test.exception, test.exception[0].message
    assert not test.error, test.error[0].value
    return test


def settled(test: AppTest) -> AppTest:
    """Draw the page until nothing is being computed behind it."""
    for _ in range(600):
        in_order(test.run())
        if not test.get("progress"):
            return test
        time.sleep(0.2)
    raise AssertionError("the work behind the page never ends")


def pressed(test: AppTest, key: str) -> AppTest:
    return in_order(test.button(key=key).click().run())


def test_every_panel_is_drawn(drawn: AppTest) -> None:
    for panel in ("components", "patterns", "teach", "compare", "season"):
        drawn.session_state["panel"] = panel
        settled(drawn)
        if panel == "components":
            assert {"site", "recording"} <= set(drawn.dataframe[0].value["what"])
        if panel == "compare":
            assert drawn.metric[0].value.endswith("%")
    drawn.session_state["panel"] = "patterns"
    for view in ("season", "hours", "recording", "follows_what"):
        drawn.session_state["patterns_view"] = view
        settled(drawn)


def test_labels_are_given_undone_and_taught_with(drawn: AppTest, store: Store) -> None:
    add_labels(store, ["r5-mix-000001"], "owl", who="bob")
    drawn.session_state["panel"] = "teach"
    drawn.session_state["who"] = "ana"
    drawn.session_state["selected"] = np.arange(4)
    drawn.session_state["label_name"] = "owl"
    in_order(drawn.run())
    pressed(drawn, "label_yes")
    assert [row["who"] for row in labels(store).to_pylist()].count("ana") == 4
    drawn.session_state["selected"] = np.arange(10, 14)
    drawn.session_state["label_name"] = "owl"
    in_order(drawn.run())
    pressed(drawn, "label_no")
    settled(drawn)
    table = drawn.dataframe[0].value
    assert table.iloc[0].tolist()[:3] == ["owl", 5, 4]
    pressed(drawn, "undo")
    rows = labels(store).to_pylist()
    assert sorted((row["who"], row["is_present"]) for row in rows) == [("ana", True)] * 4 + [("bob", True)]
