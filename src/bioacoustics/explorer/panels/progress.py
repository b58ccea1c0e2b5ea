"""Progress: what is being computed behind the page, with a way to stop it."""

import streamlit as st

from bioacoustics.explorer.panels.session import Page, say

POLL_S = 0.5
SLOTS = ("first map", "map", "clusters", "guidance", "compare")


def progress(page: Page) -> None:
    """Show the work in progress; ask again for as long as there is some."""
    is_busy = any(page.jobs.status(slot).state == "running" for slot in SLOTS)
    st.fragment(_watch, run_every=POLL_S if is_busy else None)(page, is_busy)


def _watch(page: Page, was_busy: bool) -> None:
    statuses = {slot: page.jobs.status(slot) for slot in SLOTS}
    running = {slot: status for slot, status in statuses.items() if status.state == "running"}
    # Whatever has ended since the page was drawn is to be seen: draw it again.
    done = tuple(slot for slot in SLOTS if slot not in running)
    if was_busy and done != st.session_state.setdefault("slots_done", done):
        st.session_state["slots_done"] = done
        st.rerun()
    st.session_state["slots_done"] = done
    for slot, status in running.items():
        st.progress(min(1.0, max(0.0, status.progress)), status.message)
        st.button(say("cancel"), key=f"cancel_{slot}", on_click=_cancel, args=(page, slot), width="stretch")


def _cancel(page: Page, slot: str) -> None:
    page.jobs.cancel(slot)
