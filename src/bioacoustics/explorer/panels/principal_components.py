"""Principal components: what the vectors differ in most, how it sounds, and whether it is the recorder."""

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.explorer.answers import report_of, table_of
from bioacoustics.explorer.confounding import Report, component_table, extremes, loadings
from bioacoustics.explorer.fitted_map import FittedMap
from bioacoustics.explorer.panels.listen import strip
from bioacoustics.explorer.panels.opened import work_folder
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page, language, say, select
from bioacoustics.explorer.panels.surroundings import Surroundings, surroundings
from bioacoustics.explorer.requests import ReportRequest, kept_table
from bioacoustics.explorer.surveying import NUM_MEASURED

NUM_SHOWN = 12
NUM_EXTREME = 5
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
        _told_of(page)
    low, high = extremes(fitted.principal, number, NUM_EXTREME)
    st.markdown(f"##### {say('low_end', number=number)}")
    strip(page, "low_end", low)
    st.markdown(f"##### {say('high_end', number=number)}")
    strip(page, "high_end", high)
    if st.button(say("select_ends"), key="select_ends", icon=":material/select_all:"):
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


def _told_of(page: Page) -> None:
    """What components follow and what vectors tell, once it has been found out."""
    known = surroundings(page)
    if known is None or page.map_file is None:
        return
    work = answer(page, "report", _request(page, page.map_file, known))
    if work.result is not None:
        _followed(table_of(work.result, "follows "))
        _told(report_of(work.result))


def _request(page: Page, map_file: Path, known: Surroundings) -> ReportRequest:
    """Made once for each map and each state of the labels."""
    windows = page.collection.windows
    labels = windows["labels"].astype(str)
    key = (page.collection.fingerprint, map_file, page.placed_file, hash(tuple(labels)))
    kept = st.session_state.get("report")
    if kept is None or kept[0] != key:
        recordings = windows["recording"].astype(str)
        table = pd.DataFrame(
            {
                "recording": recordings,
                "site": windows["site"].astype(str),
                "recorder": recordings.map(known.places["recorder"]).fillna("").astype(str),
                "hour": windows["hour"].astype(float),
                "start_s": windows["start_s"].astype(float),
                "labels": labels,
                "loudness": known.loudness,
            }
        )
        path = kept_table(table, work_folder())
        request = ReportRequest(map=map_file, placed=page.placed_file, windows=path)
        kept = (key, request)
        st.session_state["report"] = kept
    found: ReportRequest = kept[1]
    return found


def _followed(table: pd.DataFrame) -> None:
    st.markdown(f"##### {say('follows')}")
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


def _told(report: Report) -> None:
    st.markdown(f"##### {say('told_better')}")
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
