"""Tour: what the page can do, in five steps, shown at the first visit and whenever it is asked for."""

import streamlit as st

from bioacoustics.explorer.opening import cache_folder
from bioacoustics.explorer.panels.session import say

NUM_STEPS = 5
SEEN = "tour_seen"  # a file in the cache


def tour() -> None:
    """Open the tour where it is due."""
    seen = cache_folder() / "explorer" / SEEN
    if "tour_step" not in st.session_state:
        st.session_state["tour_step"] = None if seen.exists() else 1
    if st.session_state["tour_step"] is not None:
        st.dialog(say("tour_title"), on_dismiss=_end)(_step)()


def begin() -> None:
    """Show it from its first step on."""
    st.session_state["tour_step"] = 1


def _step() -> None:
    step: int | None = st.session_state["tour_step"]
    if step is None:
        st.rerun()
    st.progress(step / NUM_STEPS)
    st.markdown(say(f"tour_{step}"))
    left, right = st.columns(2)
    left.button(say("tour_back"), disabled=step == 1, width="stretch", on_click=_go, args=(step - 1,))
    if step < NUM_STEPS:
        right.button(say("tour_next"), type="primary", width="stretch", on_click=_go, args=(step + 1,))
    else:
        right.button(say("tour_end"), type="primary", width="stretch", on_click=_end)


def _go(step: int) -> None:
    st.session_state["tour_step"] = step


def _end() -> None:
    st.session_state["tour_step"] = None
    seen = cache_folder() / "explorer" / SEEN
    seen.parent.mkdir(parents=True, exist_ok=True)
    seen.touch()
