"""Tour: what the page can do, in five steps, shown at the first visit and whenever it is asked for."""

from pathlib import Path

import streamlit as st

from bioacoustics.explorer.opening import cache_folder
from bioacoustics.explorer.panels.session import say

NUM_STEPS = 5
SEEN = "tour_seen"  # a file in the cache


def tour() -> None:
    """Show a step of the tour above the page, where it is due; nothing is hidden by it."""
    if "tour_step" not in st.session_state:
        st.session_state["tour_step"] = None if _seen().exists() else 1
    step: int | None = st.session_state["tour_step"]
    if step is None:
        return
    with st.container(border=True, key="tour"):
        text, back, on, end = st.columns([6, 0.9, 0.9, 0.9], vertical_alignment="center")
        text.markdown(f"{step}/{NUM_STEPS} · {say(f'tour_{step}')}")
        back.button(say("tour_back"), disabled=step == 1, width="stretch", on_click=_go, args=(step - 1,))
        if step < NUM_STEPS:
            on.button(say("tour_next"), type="primary", width="stretch", on_click=_go, args=(step + 1,))
        end.button(say("tour_end"), width="stretch", on_click=_end)


def begin() -> None:
    """Show it from its first step on."""
    st.session_state["tour_step"] = 1


def _go(step: int) -> None:
    st.session_state["tour_step"] = step


def _end() -> None:
    st.session_state["tour_step"] = None
    _seen().parent.mkdir(parents=True, exist_ok=True)
    _seen().touch()


def _seen() -> Path:
    return cache_folder() / "explorer" / SEEN
