"""Principal components: what the vectors differ in most, how it sounds, and whether it is the recorder."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.confounding import (
    Report,
    component_table,
    confounders,
    correlations,
    extremes,
    loadings,
)
from bioacoustics.explorer.panels.listen import strip
from bioacoustics.explorer.panels.session import Page, language, say, select
from bioacoustics.explorer.places import places_of
from bioacoustics.explorer.projection import FittedMap
from bioacoustics.explorer.sounds import NotOpenedError

NUM_SHOWN = 12
NUM_EXTREME = 5
NUM_MEASURED = 300  # windows whose loudness is measured
CHART = {"displayModeBar": False}
MARGIN = {"l": 0, "r": 0, "t": 5, "b": 0}
COLOUR = "#1f6f78"


@st.fragment
def principal_components(page: Page) -> None:
    """The panel."""
    fitted: FittedMap | None = page.map.result
    if fitted is None or len(fitted.components.explained) == 0:
        st.info(say("components_wait"))
        return
    number = _chosen(fitted)
    left, right = st.columns([1, 1.4], gap="large")
    with left:
        _explained(fitted)
        _weights(fitted, number)
    with right:
        _followed(page, fitted)
        _told(page, fitted)
    low, high = extremes(fitted.principal, number, NUM_EXTREME)
    st.markdown(f"##### {say('low_end', number=number)}")
    strip(page, "low_end", low)
    st.markdown(f"##### {say('high_end', number=number)}")
    strip(page, "high_end", high)
    if st.button(say("select_ends"), icon=":material/select_all:"):
        select(np.concatenate([low, high]))
        st.rerun()


def _chosen(fitted: FittedMap) -> int:
    count = min(NUM_SHOWN, len(fitted.components.explained))
    if st.session_state.get("component", 1) > count:
        st.session_state["component"] = 1
    numbers = list(range(1, count + 1))
    chosen = st.pills(say("component"), numbers, default=1, key="component", required=True)
    return int(chosen or 1)


def _explained(fitted: FittedMap) -> None:
    table = component_table(fitted.components).iloc[:NUM_SHOWN]
    figure = go.Figure(go.Bar(x=table["component"], y=100 * table["explained"], marker_color=COLOUR))
    figure.add_scatter(x=table["component"], y=100 * table["cumulative"], line={"color": "#b5651d"})
    figure.update_layout(height=190, margin=MARGIN, showlegend=False, yaxis_title="%")
    st.markdown(f"##### {say('explained')}")
    st.plotly_chart(figure, config=CHART, key="explained_chart")


def _weights(fitted: FittedMap, number: int) -> None:
    table = loadings(fitted.components, number, 15)
    names = [f"e{dimension}" for dimension in table["dimension"]]
    figure = go.Figure(go.Bar(x=names, y=table["loading"], marker_color=COLOUR))
    figure.update_layout(height=170, margin=MARGIN)
    st.markdown(f"##### {say('loadings', number=number)}")
    st.plotly_chart(figure, config=CHART, key="loadings_chart")


def _followed(page: Page, fitted: FittedMap) -> None:
    st.markdown(f"##### {say('follows')}")
    with st.spinner(say("measuring")):
        windows = _described(page)
        table = correlations(fitted.principal, windows, {"loudness": _loudness(page)}, num_components=8)
    wide = table.pivot(index="what", columns="component", values="strength").dropna(how="all")
    names = [say(f"told_{what}") for what in wide.index]
    figure = go.Figure(
        go.Heatmap(
            z=wide.to_numpy(),
            x=[str(number) for number in wide.columns],
            y=names,
            zmin=0,
            zmax=1,
            colorscale="Teal",
            texttemplate="%{z:.2f}",
        )
    )
    figure.update_layout(height=60 + 34 * len(names), margin=MARGIN)
    st.plotly_chart(figure, config=CHART, key="follows_chart")
    st.caption(say("follows_help", windows=NUM_MEASURED))


def _told(page: Page, fitted: FittedMap) -> None:
    st.markdown(f"##### {say('told_better')}")
    with st.spinner(say("measuring")):
        report = _report(page, fitted)
    if not report.answers:
        st.caption(say("nothing_told"))
        return
    rows = [
        {
            say("told_what"): say(f"told_{told.what}"),
            say("told_skill"): round(told.skill, 2),
            say("told_accuracy"): f"{told.accuracy:.0%}",
            say("told_chance"): f"{told.chance:.0%}",
            say("told_classes"): told.num_classes,
        }
        for told in report.answers
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    for warning in report.warnings:
        st.warning(warning.told(language()), icon=":material/warning:")
    st.caption(say("told_help"))


def _report(page: Page, fitted: FittedMap) -> Report:
    """Asked once for each map and each state of the labels."""
    labels = page.collection.windows["labels"].astype(str).tolist()
    key = (page.collection.fingerprint, fitted.config, hash(tuple(labels)))
    kept = st.session_state.get("confounders")
    if kept is None or kept[0] != key:
        kept = (key, confounders(fitted.principal, _described(page), labels))
        st.session_state["confounders"] = kept
    report: Report = kept[1]
    return report


def _described(page: Page) -> pd.DataFrame:
    windows = page.collection.windows
    places = kept_places(page)
    return windows.assign(recorder=windows["recording"].astype(str).map(places["recorder"]).fillna(""))


def kept_places(page: Page) -> pd.DataFrame:
    """Where recordings were made, read once for each visitor."""
    kept = st.session_state.get("places")
    if kept is None or kept[0] != page.collection.fingerprint:
        found = places_of(page.collection.windows, page.config.deployments)
        kept = (page.collection.fingerprint, found)
        st.session_state["places"] = kept
    places: pd.DataFrame = kept[1]
    return places


def _loudness(page: Page) -> np.ndarray:
    """Level in dB of full scale of some windows, evenly chosen; NaN of the others."""
    kept = st.session_state.get("loudness")
    if kept is not None and kept[0] == page.collection.fingerprint:
        known: np.ndarray = kept[1]
        return known
    levels = np.full(page.num_windows, np.nan)
    for position in np.unique(np.linspace(0, page.num_windows - 1, NUM_MEASURED).astype(int)):
        try:
            samples = page.sounds.cut(int(position)).samples
        except (UnreadableAudioError, NotOpenedError, ValueError, OSError):
            continue
        power = float(np.square(samples, dtype=np.float64).mean()) if samples.size else 0.0
        levels[position] = 10 * np.log10(power + 1e-12)
    st.session_state["loudness"] = (page.collection.fingerprint, levels)
    return levels
