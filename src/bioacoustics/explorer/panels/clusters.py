"""Clusters: groups of windows, how good they are, what they sound like, and their names."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.answers import Work, work_of
from bioacoustics.explorer.grouping import HDBSCANConfig, KMeansConfig, agreement, cluster_table
from bioacoustics.explorer.panels.colour_and_filter import cluster_names
from bioacoustics.explorer.panels.listen import strip
from bioacoustics.explorer.panels.opened import Opened
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page, say, select
from bioacoustics.explorer.requests import GroupRequest, GuidanceRequest
from bioacoustics.explorer.sounds import NotOpenedError
from bioacoustics.explorer.spectrograms import levels_db

METHODS = {"kmeans": "k-means", "hdbscan": "HDBSCAN"}
NUM_EXAMPLES = 6
COLUMNS = ("cluster", "size", "share", "recordings", "sites", "commonest_label", "label_share")


def ask_clusters(store: Opened) -> Work:
    """The clusters that are wanted, or those before while they are computed."""
    for name, value in (("grouping", "kmeans"), ("k", 8), ("min_size", 15)):
        st.session_state.setdefault(name, value)
    config: KMeansConfig | HDBSCANConfig
    if st.session_state["grouping"] == "hdbscan":
        config = HDBSCANConfig(min_cluster_size=st.session_state["min_size"])
    else:
        config = KMeansConfig(num_clusters=st.session_state["k"])
    others = store.season[1] if store.season is not None else None
    request = GroupRequest(vectors=store.vectors, config=config, others=others)
    return work_of(store.jobs.ask("clusters", request))


def clusters(page: Page) -> None:
    """The panel; its settings draw the whole page, since colours may follow."""
    left, right = st.columns([1, 2.6], gap="large")
    with left:
        _settings()
        _guidance(page)
    with right:
        if page.clusters.state == "failed":
            st.warning(say("clusters_failed", reason=page.clusters.error))
        if page.clusters.result is None:
            st.info(say("clusters_running"))
        else:
            _table(page)
    if page.clusters.result is not None and page.clusters.result.num_clusters:
        _one(page)


def _settings() -> None:
    # A widget that was not drawn forgets its value; writing it again makes it stay.
    for name in ("grouping", "k", "min_size"):
        st.session_state[name] = st.session_state[name]
    st.segmented_control(
        say("method"),
        list(METHODS),
        format_func=METHODS.__getitem__,
        key="grouping",
        required=True,
        label_visibility="collapsed",
        width="stretch",
    )
    if st.session_state["grouping"] == "hdbscan":
        st.slider(say("min_cluster_size"), 2, 200, key="min_size")
    else:
        st.slider(say("num_clusters"), 2, 40, key="k")


def _guidance(page: Page) -> None:
    request = GuidanceRequest(vectors=page.vectors)
    if page.jobs.status("guidance").request != request:
        st.button(say("guidance_ask"), on_click=_ask_guidance, args=(page, request), width="stretch")
        return
    found = answer(page, "guidance", request).result
    if found is None:
        return
    st.caption(say("guidance_said", silhouette=int(found["best"]), elbow=int(found["elbow"])))
    figure = go.Figure(
        go.Scatter(
            x=found["num_clusters"], y=found["silhouette"], mode="lines+markers", line={"color": "#1f6f78"}
        )
    )
    figure.update_layout(
        height=170,
        margin={"l": 0, "r": 0, "t": 5, "b": 0},
        xaxis_title=say("num_clusters"),
        yaxis_title="silhouette",
    )
    st.plotly_chart(figure, config={"displayModeBar": False}, key="guidance_chart")


def _ask_guidance(page: Page, request: GuidanceRequest) -> None:
    page.jobs.ask("guidance", request)


def _table(page: Page) -> None:
    windows, found = page.collection.windows, page.clusters.result
    labels = windows["labels"].astype(str)
    table = cluster_table(found, windows, labels.tolist())
    names = pd.Series(cluster_names(page)).groupby(np.asarray(found.numbers)).first()
    shown = table[[name for name in COLUMNS if name in table]].copy()
    shown["cluster"] = [names.get(number, "–") or "–" for number in table["cluster"]]
    if not (labels != "").any():
        shown = shown.drop(columns=["commonest_label", "label_share"])
    for name in {"share", "label_share"} & set(shown):
        shown[name] = shown[name].map(lambda share: "" if pd.isna(share) else f"{share:.0%}")
    st.dataframe(
        shown.rename(columns={name: say(f"column_{name}") for name in COLUMNS}),
        hide_index=True,
        height=min(38 + 35 * len(shown), 330),
    )
    if (labels != "").sum() > 1:
        told = agreement(found.numbers, labels.tolist())
        st.caption(
            say("agreement_said", ari=told.rand, ami=told.mutual_information, windows=told.num_windows)
        )


@st.fragment
def _one(page: Page) -> None:
    found = page.clusters.result
    numbers = list(range(found.num_clusters))
    every = cluster_names(page)
    name_of = {number: str(every[np.argmax(np.asarray(found.numbers) == number)]) for number in numbers}
    if st.session_state.get("cluster") not in numbers:
        st.session_state["cluster"] = 0
    left, middle, right = st.columns([1.4, 1.4, 1], vertical_alignment="bottom")
    chosen = left.selectbox(
        say("by_cluster").capitalize(), numbers, format_func=name_of.__getitem__, key="cluster"
    )
    given: dict[int, str] = st.session_state.setdefault("cluster_names", {})
    name = middle.text_input(
        say("cluster_name"),
        given.get(chosen, ""),
        key=f"name_{chosen}",
        placeholder=say("cluster_name_hint"),
        max_chars=60,
    )
    if name != given.get(chosen, ""):
        st.session_state["cluster_names"] = {**given, chosen: name}
        st.rerun()
    if right.button(
        say("select_cluster"), key="select_cluster", width="stretch", icon=":material/select_all:"
    ):
        select(np.flatnonzero(np.asarray(found.numbers) == chosen))
        st.rerun()
    typical = found.typical(chosen, NUM_EXAMPLES)
    st.markdown(f"##### {say('typical')}")
    strip(page, "typical", typical)
    st.markdown(f"##### {say('odd')}")
    strip(page, "odd", found.odd(chosen, NUM_EXAMPLES))
    _mean_spectrum(page, typical)


def _mean_spectrum(page: Page, positions: Any) -> None:
    """The mean level at each frequency, over a few members."""
    levels, rate_hz = [], 0
    for position in positions:
        try:
            cut = page.sounds.cut(int(position))
        except (UnreadableAudioError, NotOpenedError, ValueError, OSError):
            continue
        if cut.sample_rate_hz in {0, rate_hz} or not rate_hz:
            rate_hz = cut.sample_rate_hz
            levels.append(levels_db(cut, 16.0, 200).mean(axis=0))
    if not levels:
        return
    mean = np.mean(levels, axis=0)
    figure = go.Figure(
        go.Scatter(x=np.linspace(0, rate_hz / 2000, len(mean)), y=mean, line={"color": "#1f6f78"})
    )
    figure.update_yaxes(range=[float(mean.min()) - 3, float(mean.max()) + 3], title="dB")
    figure.update_xaxes(title="kHz")
    figure.update_layout(height=190, margin={"l": 0, "r": 0, "t": 5, "b": 0})
    st.markdown(f"##### {say('mean_spectrogram')}")
    st.plotly_chart(figure, config={"displayModeBar": False}, key="mean_spectrum")
