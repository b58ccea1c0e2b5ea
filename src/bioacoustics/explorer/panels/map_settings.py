"""Map settings: which map is wanted, each control live; the map in use stays until the next is ready."""

from typing import Any

import streamlit as st

from bioacoustics.explorer.fitted_map import MapConfig, PCAConfig
from bioacoustics.explorer.neighbour_maps import TSNEConfig, UMAPConfig
from bioacoustics.explorer.panels.session import heading, say

METHODS = {"pca": "PCA", "umap": "UMAP", "tsne": "t-SNE"}
METRICS = ("cosine", "euclidean", "manhattan", "correlation")
DEFAULTS: dict[str, Any] = {
    "method": "umap",
    "dims": 2,
    "perplexity": 30,
    "exaggeration": 12.0,
    "learning_rate": 0,
    "neighbours": 15,
    "min_dist": 0.1,
    "metric": "cosine",
    "fast": False,
    "seed": 0,
}


def map_settings() -> MapConfig:
    """Show the controls and return what they say."""
    for name, value in DEFAULTS.items():
        st.session_state.setdefault(name, value)
    heading("map")
    method = st.segmented_control(
        say("method"),
        list(METHODS),
        format_func=METHODS.__getitem__,
        key="method",
        label_visibility="collapsed",
        required=True,
        width="stretch",
    )
    dims = st.segmented_control(
        say("dimensions"),
        [2, 3],
        format_func=lambda d: f"{d}-D",
        key="dims",
        label_visibility="collapsed",
        required=True,
        width="stretch",
    )
    common: dict[str, Any] = {"num_dimensions": dims or 2}
    if method == "pca":
        st.caption(say("pca_help"))
        return PCAConfig(**common)
    specific = _tsne() if method == "tsne" else _umap()
    is_fast = st.toggle(say("fast"), key="fast", help=say("fast_help"))
    seed = st.number_input(say("seed"), 0, 9999, key="seed", disabled=is_fast, help=say("seed_help"))
    common |= {"is_repeatable": not is_fast, "seed": int(seed)}
    return TSNEConfig(**common, **specific) if method == "tsne" else UMAPConfig(**common, **specific)


def _tsne() -> dict[str, Any]:
    perplexity = st.slider("perplexity", 5, 100, key="perplexity", help=say("perplexity_help"))
    exaggeration = st.slider(
        "early exaggeration", 1.0, 30.0, step=1.0, key="exaggeration", help=say("exaggeration_help")
    )
    rate = st.slider("learning rate", 0, 2000, step=50, key="learning_rate", help=say("learning_rate_help"))
    return {"perplexity": perplexity, "early_exaggeration": exaggeration, "learning_rate": rate or None}


def _umap() -> dict[str, Any]:
    neighbours = st.slider("n_neighbors", 2, 100, key="neighbours", help=say("neighbours_help"))
    min_dist = st.slider("min_dist", 0.0, 0.99, step=0.05, key="min_dist", help=say("min_dist_help"))
    metric = st.selectbox("metric", METRICS, key="metric")
    return {"num_neighbors": neighbours, "min_dist": min_dist, "metric": metric}
