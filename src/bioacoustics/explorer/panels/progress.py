"""Progress: how work behind the page is asked for, shown, stopped and begun again; one way for all of it."""

import streamlit as st

from bioacoustics.explorer.answers import Work, work_of
from bioacoustics.explorer.background import Status
from bioacoustics.explorer.panels.session import Page, say
from bioacoustics.explorer.requests import AnyRequest

POLL_S = 0.5
SLOTS = ("first map", "map", "season", "clusters")  # of the whole page; a panel shows its own work itself


def progress(page: Page) -> None:
    """Show the work of the whole page; ask again for as long as there is some."""
    is_busy = any(page.jobs.status(slot).state == "running" for slot in SLOTS)
    st.fragment(_watch, run_every=POLL_S if is_busy else None)(page)


def answer(page: Page, slot: str, request: AnyRequest) -> Work:
    """Have a request of a panel answered; the answer before it stays until the next one is there.

    Where the work is under way, a bar says how far it is and can stop it; what was stopped or has failed can
    be begun again.
    """
    status = page.jobs.ask(slot, request)
    with st.container():  # always there, so that what follows keeps its place when the work has ended
        if status.state == "running":
            st.fragment(_await, run_every=POLL_S)(page, slot)
        elif status.state in {"failed", "cancelled"}:
            if status.state == "failed":
                st.warning(say("work_failed", reason=status.error))
            else:
                st.caption(say("work_cancelled"))
            st.button(say("work_again"), key=f"again_{slot}", on_click=retry, args=(page, slot))
    return work_of(status)


def retry(page: Page, slot: str) -> None:
    """Begin work again that was stopped or has failed."""
    page.jobs.retry(slot)


def _await(page: Page, slot: str) -> None:
    status = page.jobs.status(slot)
    if status.state != "running":
        st.rerun()
    _bar(page, slot, status)


def _watch(page: Page) -> None:
    # Whatever has ended since the page was begun, even while it was being drawn, is to be seen.
    if page.jobs.num_ended(SLOTS) != page.num_ended:
        st.rerun()
    for slot in SLOTS:
        status = page.jobs.status(slot)
        if status.state == "running":
            _bar(page, slot, status)


def _bar(page: Page, slot: str, status: Status) -> None:
    step = status.step
    text = say(f"step_{step.key}", done=step.done, total=step.total)
    st.progress(min(1.0, max(0.0, status.progress)), text)
    st.button(say("cancel"), key=f"cancel_{slot}", on_click=_cancel, args=(page, slot), width="stretch")


def _cancel(page: Page, slot: str) -> None:
    page.jobs.cancel(slot)
