"""Hear next: windows that teach most, each with its player."""

import pandas as pd
import streamlit as st

from bioacoustics.explorer.panels.listen import strip
from bioacoustics.explorer.panels.session import Page, say, select
from bioacoustics.explorer.suggesting import Kind, suggestions
from bioacoustics.explorer.teaching import Taught

NUM_SUGGESTED = 8
KINDS: tuple[Kind, ...] = ("uncertain", "likely", "diverse")


def hear_next(page: Page, said: pd.DataFrame, taught: Taught | None) -> None:
    """Offer windows to listen to."""
    st.markdown(f"##### {say('hear_next')}")
    kinds: tuple[Kind, ...] = KINDS if taught is not None else ("diverse",)
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    if st.session_state.get("next_kind") not in kinds:
        st.session_state["next_kind"] = kinds[0]
    kind: Kind | None = left.segmented_control(
        say("hear_next"),
        kinds,
        format_func=lambda name: say(f"next_{name}"),
        key="next_kind",
        required=True,
        label_visibility="collapsed",
    )
    labels = list(taught.labels) if taught is not None else []
    about = right.selectbox(say("label_name"), labels, index=None, key="next_label") if labels else None
    is_labelled = page.collection.windows["id"].isin(set(said["window"])).to_numpy()
    found = suggestions(
        taught,
        page.collection.vectors,
        is_labelled,
        page.collection.windows["recording"].astype(str).tolist(),
        kind or "diverse",
        label=about if kind != "diverse" else None,
        num=NUM_SUGGESTED,
    )
    st.caption(say(f"next_{kind or 'diverse'}_help"))
    notes: list[str] = []
    if taught is not None and len(found):
        shown = taught.probabilities(page.collection.vectors[found])
        notes = [f"{taught.labels[int(row.argmax())]} {row.max():.2f}" for row in shown]
    strip(page, "next", found, notes)
    if st.button(
        say("select_next"), key="select_next", icon=":material/select_all:", disabled=not len(found)
    ):
        select(found)
        st.rerun()
