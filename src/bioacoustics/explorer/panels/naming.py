"""Naming: what windows are called in a panel: by cluster, label or prediction."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from bioacoustics.explorer.panels.colour_and_filter import cluster_names
from bioacoustics.explorer.panels.session import Page, say


def named_by(page: Page, key: str) -> list[str]:
    """Let the visitor choose what windows are called, and say it of every window; "" is nothing."""
    windows = page.collection.windows
    choices: dict[str, Callable[[], list[str]]] = {}
    if page.clusters.result is not None and page.clusters.result.num_clusters:
        choices["cluster"] = lambda: cluster_names(page).astype(str).tolist()
    if (windows["labels"].astype(str) != "").any():
        choices["label"] = lambda: windows["labels"].astype(str).tolist()
    if (windows["predicted"].astype(str) != "").any():
        choices["predicted"] = lambda: windows["predicted"].astype(str).tolist()
    if not choices:
        st.info(say("nothing_named"))
        return [""] * page.num_windows
    if st.session_state.get(key) not in choices:
        st.session_state[key] = next(iter(choices))
    chosen = st.segmented_control(
        say("named_by"),
        list(choices),
        format_func=lambda name: say(f"named_{name}"),
        key=key,
        required=True,
        label_visibility="collapsed",
    )
    return choices[chosen or next(iter(choices))]()


def names_in_order(values: list[str]) -> list[str]:
    """Every name once, the commonest first."""
    names, counts = np.unique(np.asarray([value for value in values if value], dtype=str), return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")]]
