"""Header: what is open and in which language; below the map, what is selected."""

import html

import numpy as np
import streamlit as st

from bioacoustics.explorer.panels.session import Page, say, select, selected
from bioacoustics.explorer.panels.tour import begin

LANGUAGES = {"en": "English", "es": "Español"}


def header(page: Page) -> None:
    """The line on top."""
    left, middle, right = st.columns([3.6, 1.9, 1.2], vertical_alignment="center")
    windows, sample = page.collection.windows, page.collection.sample
    counts = say(
        "summary", windows=_count(page.num_windows), recordings=_count(windows["recording"].nunique())
    )
    if sample.num_left_out:
        counts = say("sampled", taken=_count(page.num_windows), windows=_count(sample.num_windows))
    names = html.escape(" + ".join(_name(location) for location in page.collection.locations))
    told = f"{say('title')} · {names} · {counts}"
    left.html(f'<div class="brand"><b>bio<i>acoustics</i></b><span>{told}</span></div>')
    middle.segmented_control(
        say("language"),
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        key="language",
        required=True,
        label_visibility="collapsed",
    )
    right.button(say("tour"), icon=":material/help:", on_click=begin, width="stretch")


def sidebar_counts(page: Page) -> None:
    """How many windows fit the filters."""
    if page.passes is None or bool(page.passes.all()):
        return
    num_fitting = int(page.passes.sum())
    if not num_fitting:
        st.warning(say("nothing_fits"))
        return
    st.caption(say("fits", fits=_count(num_fitting), windows=_count(page.num_windows)))
    st.button(
        say("select_fitting"),
        key="select_fitting",
        on_click=select,
        args=(np.flatnonzero(page.passes),),
        width="stretch",
    )


def selection_bar(page: Page) -> None:
    """How many windows are selected."""
    chosen = selected()
    if len(chosen):
        st.markdown(f":material/lasso_select: **{say('selection', number=_count(len(chosen)))}**")
    else:
        st.caption(say("no_selection"))


def _name(location: str) -> str:
    return location.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _count(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")
