"""Colour and filter: what the points of the map show, and which of them."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from bioacoustics.explorer.colours import Colouring, by_hour, by_kind, by_number
from bioacoustics.explorer.filtering import Wanted, fitting
from bioacoustics.explorer.panels.session import Page, heading, say

KINDS = ("cluster", "label", "predicted", "site", "recording", "date")
CHOICES = (*KINDS[:5], "hour", "date", "score", "novelty", "season")
MAX_CHOICES = 2000  # in a list of the browser


def available(page: Page) -> list[str]:
    """By what the windows of this store can be coloured."""
    windows = page.collection.windows
    is_there = {
        "cluster": True,  # soon, if not yet
        "label": bool((windows["labels"] != "").any()),
        "predicted": bool((windows["predicted"] != "").any()),
        "site": windows["site"].nunique() > 1,
        "recording": True,
        "hour": bool(windows["hour"].notna().any()),
        "date": bool((windows["date"] != "").any()),
        "score": bool(windows["probability"].notna().any()),
        "novelty": page.map.result is not None,
        "season": page.season is not None,
    }
    return [name for name in CHOICES if is_there[name]]


def colour(page: Page) -> Colouring:
    """Let the visitor choose, and colour all windows."""
    choices = available(page)
    wanted = st.session_state.get("colour")
    wanted = wanted if wanted in choices else choices[0]
    if wanted != st.session_state.get("colour_shown"):
        # Not chosen here: a new box, as the browser may still answer with what the old one showed.
        st.session_state["colour_turn"] = st.session_state.get("colour_turn", 0) + 1
    heading("colour")
    chosen = st.selectbox(
        say("colour"),
        choices,
        index=choices.index(wanted),
        format_func=lambda name: say(f"by_{name}"),
        key=f"colour {st.session_state['colour_turn']}",
        label_visibility="collapsed",
    )
    st.session_state["colour"] = st.session_state["colour_shown"] = chosen
    return colouring(page, chosen)


def colouring(page: Page, name: str) -> Colouring:
    """Colours of all windows."""
    windows = page.collection.windows
    if name == "cluster":
        if page.clusters.result is None:
            return by_kind([""] * page.num_windows)
        return by_kind(pd.Series(cluster_names(page)), say("others"))
    if name == "hour":
        return by_hour(windows["hour"].to_numpy(float))
    if name == "score":
        return by_number(windows["probability"].to_numpy(float), "viridis", (0.0, 1.0))
    if name == "novelty" and page.map.result is not None:
        return by_number(np.asarray(page.map.result.novelty, float), "plasma", (0.0, 1.0))
    column = {"label": "labels", "recording": "file"}.get(name, name)
    return by_kind(windows[column].astype(str), say("others"))


def cluster_names(page: Page) -> np.ndarray:
    """The name of each window's cluster; empty for windows of no cluster."""
    numbers = np.asarray(page.clusters.result.numbers)
    given: dict[int, str] = st.session_state.get("cluster_names", {})
    names = [
        given.get(k) or say("cluster_number", number=k + 1) for k in range(int(numbers.max(initial=-1)) + 1)
    ]
    named: np.ndarray = np.array([*names, ""], dtype=object)[numbers]
    return named


def filters(page: Page) -> Wanted:
    """Let the visitor say which windows matter."""
    windows = page.collection.windows
    heading("filter")
    text = st.text_input(
        say("search"), key="search", placeholder=say("search_hint"), label_visibility="collapsed"
    )
    with st.expander(say("more_filters")):
        values: dict[str, Any] = {
            "sites": _several("site", sorted(set(windows["site"].astype(str)) - {""})),
            "labels": _several("label", sorted(_labels(page))),
            "dates": _several("date", sorted(set(windows["date"].astype(str)) - {""})),
        }
        if page.season is not None:
            values["seasons"] = _several("season", list(dict.fromkeys(windows["season"].astype(str))))
            values["novel_only"] = st.toggle(say("novel_only"), key="f_novel")
        if page.clusters.result is not None:
            names = dict(enumerate(_names_in_order(page)))
            values["clusters"] = _several("cluster", list(names), names.__getitem__)
        if windows["hour"].notna().any():
            values["hours"] = _hours()
        if windows["probability"].notna().any():
            values["min_score"] = st.slider(say("min_score"), 0.0, 1.0, 0.0, 0.05, key="f_score")
        if page.map.result is not None:
            values["min_novelty"] = st.slider(say("min_novelty"), 0.0, 1.0, 0.0, 0.05, key="f_novelty")
    return Wanted(text=text or "", **values)


def passing(page: Page, wanted: Wanted) -> Any:
    """Which windows fit the filters."""
    clusters = page.clusters.result.numbers if page.clusters.result is not None else None
    novelty = page.map.result.novelty if page.map.result is not None else None
    return fitting(page.collection.windows, wanted, clusters, novelty, page.is_novel)


def _several(name: str, choices: list[Any], naming: Any = str) -> tuple[Any, ...]:
    if len(choices) < 2:
        return ()
    title = say(f"by_{name}")
    return tuple(st.multiselect(title, choices[:MAX_CHOICES], key=f"f_{name}", format_func=naming))


def _hours() -> tuple[float, float]:
    first, last = st.slider(say("between_hours"), 0, 24, (0, 24), key="f_hours")
    is_night = st.toggle(say("over_midnight"), key="f_night", help=say("over_midnight_help"))
    if is_night and (first, last) != (0, 24):
        first, last = last, first
    return float(first), float(last)


def _labels(page: Page) -> set[str]:
    return {part for text in page.collection.windows["labels"].unique() for part in text.split(",") if part}


def _names_in_order(page: Page) -> list[str]:
    given: dict[int, str] = st.session_state.get("cluster_names", {})
    num = int(np.asarray(page.clusters.result.numbers).max(initial=-1)) + 1
    return [given.get(k) or say("cluster_number", number=k + 1) for k in range(num)]
