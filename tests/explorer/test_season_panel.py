"""A second store comes to the map of the first: placed, marked, labelled where it lies, or refused."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parent))  # for small_store.py
from later_store import NUM_NOVEL, NUM_WINDOWS, make_later
from small_store import make_store

from bioacoustics.explorer.answers import Work
from bioacoustics.explorer.opening import CACHE_VARIABLE
from bioacoustics.explorer.panels.clusters import ask_clusters
from bioacoustics.explorer.panels.opened import Opened
from bioacoustics.explorer.panels.progress import SLOTS
from bioacoustics.store.database import Store
from bioacoustics.store.labels import labels

NUM_KNOWN = 60


def page(store: str, season: str) -> None:
    """What the test draws; it is taken out of this file and run by itself."""
    from pathlib import Path

    from bioacoustics.explorer.opening import OpeningConfig
    from bioacoustics.explorer.page import show

    show(OpeningConfig(store=Path(store), season=Path(season) if season else None))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "caché"))
    st.config.set_option("server.address", "127.0.0.1")
    st.cache_resource.clear()
    make_store(tmp_path)
    return tmp_path


def visit(folder: Path, season: Path | None = None, **session: object) -> AppTest:
    test = AppTest.from_function(
        page, default_timeout=300, args=(str(folder / "season.lance"), str(season or ""))
    )
    for name, value in ({"method": "pca", "panel": "season"} | session).items():
        test.session_state[name] = value
    return test if "language" in session else settled(test)


def settled(test: AppTest) -> AppTest:
    """Draw the page until nothing is being computed behind it."""
    for _ in range(600):
        test.run()
        assert not test.exception, test.exception[0].message
        if not test.get("progress"):
            return test
        time.sleep(0.2)
    raise AssertionError("the work behind the page never ends")


def shown(test: AppTest) -> str:
    kinds = (test.markdown, test.error, test.info, test.caption, test.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_a_store_beside_this_one_is_placed_and_what_is_new_is_marked(folder: Path) -> None:
    make_later(folder)
    test = visit(folder)
    assert "The map stays as it is" in shown(test)
    assert test.selectbox(key="season").options == ["none", "later.lance", "this store, from a date on"]
    test.selectbox(key="season").set_value("later.lance")
    settled(test)
    said = shown(test)
    assert f"{NUM_WINDOWS} windows placed on the map; {NUM_NOVEL} of them (33%) are new" in said
    assert test.dataframe[0].value.to_numpy().tolist() == [[NUM_NOVEL, NUM_NOVEL, "north/card_8.wav"]]
    assert test.session_state["colour"] == "season"
    assert "season.lance + later.lance" in test.get("html")[0].proto.body
    rows = test.session_state["map_rows"]
    assert len(rows) == NUM_KNOWN + NUM_WINDOWS
    test.button(key="select_novel").click()
    settled(test)
    assert test.session_state["selected"].tolist() == list(range(NUM_KNOWN + 10, NUM_KNOWN + 20))
    test.toggle(key="f_novel").set_value(True)
    assert "10 of 90 windows fit" in shown(settled(test))
    test.selectbox(key="season").set_value("")
    settled(test)
    assert len(test.session_state["map_rows"]) == NUM_KNOWN


def test_every_panel_works_on_both_seasons_and_labels_go_where_windows_lie(folder: Path) -> None:
    later = make_later(folder)
    test = visit(folder, later, panel="teach", who="ana", selected=np.array([5, NUM_KNOWN + 11]))
    test.session_state["label_name"] = "frog"
    settled(test)
    test.button(key="label_yes").click()
    settled(test)
    said = [
        [row["window"] for row in labels(Store.open(folder / name)).to_pylist() if row["who"] == "ana"]
        for name in ("season.lance", "later.lance")
    ]
    assert [len(windows) for windows in said] == [3, 1]  # two of them were there before
    assert said[1][0].startswith("r8-")
    test.session_state["selected"] = np.array([NUM_KNOWN + 1])
    test.session_state["focus"] = NUM_KNOWN + 15
    for panel in ("clusters", "components", "patterns", "compare", "export", "season"):
        test.session_state["panel"] = panel
        settled(test)
        assert not test.error, panel
        assert "cannot be heard" not in shown(test)
    test.session_state["panel"] = "teach"
    settled(test)
    test.button(key="undo").click()
    settled(test)
    assert not labels(Store.open(later)).num_rows


def test_each_store_takes_in_a_table_of_its_own_which_is_taken_back_first(folder: Path) -> None:
    later = make_later(folder)
    test = visit(folder, later, panel="teach", who="ana", selected=np.array([NUM_KNOWN + 11]))
    test.session_state["label_name"] = "frog"
    settled(test)
    test.button(key="label_yes").click()
    settled(test)
    table = b"filename,labels,start_s\nnorth/card_6.wav,toad,2.0\n"
    test.file_uploader(key=f"labels_file_{folder / 'season.lance'}").upload("labels.csv", table, "text/csv")
    settled(test)
    assert "no such recording in the store" in test.error[0].value
    test.file_uploader(key=f"labels_file_{later}").upload("labels.csv", table, "text/csv")
    settled(test)
    told = [["frog", "toad"], ["frog"], []]
    for step, expected in enumerate(told):
        assert sorted(labels(Store.open(later))["label"].to_pylist()) == expected
        if step < len(told) - 1:
            test.button(key="undo").click()
            settled(test)


def test_another_model_is_refused_in_the_language_of_the_page(folder: Path) -> None:
    later = make_later(folder, model="another")
    test = visit(folder, later, language="es").run()
    assert "later se hizo con otro modelo (another) que season (m)" in test.error[0].value
    assert "bioacoustics embed --model_path none.pt" in test.error[0].value


def test_a_store_is_divided_at_a_date(folder: Path) -> None:
    test = visit(folder, season_date="2026-03-03")
    test.selectbox(key="season").set_value("date")
    settled(test)
    assert test.selectbox(key="season_date").options == ["2026-03-02", "2026-03-03"]
    test.selectbox(key="season_date").set_value("2026-03-03")
    settled(test)
    assert "20 windows placed on the map" in shown(test)
    assert len(test.session_state["map_rows"]) == NUM_KNOWN
    test.selectbox(key="season_date").set_value("2026-03-02")
    settled(test)
    assert "40 windows placed on the map" in shown(test)


def test_what_ends_while_the_page_is_drawn_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask_and_wait(store: Opened) -> Work:
        asked = ask_clusters(store)  # all has been asked for by now, and nothing was answered yet
        while any(store.jobs.status(slot).state == "running" for slot in SLOTS):
            time.sleep(0.01)
        return asked

    monkeypatch.setattr("bioacoustics.explorer.page.ask_clusters", ask_and_wait)
    test = visit(folder, season="date", season_date="2026-03-03", language="en").run()
    assert not test.exception, test.exception[0].message
    assert "20 windows placed on the map" in shown(test)
