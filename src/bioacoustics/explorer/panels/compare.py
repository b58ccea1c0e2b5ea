"""Compare: another model's vectors of the same windows, side by side with these."""

from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.explorer.answers import Answer, report_of
from bioacoustics.explorer.collection import Collection, read_collection
from bioacoustics.explorer.comparison import Aligned, aligned, matched
from bioacoustics.explorer.panels.naming import named_by, names_in_order
from bioacoustics.explorer.panels.opened import work_folder
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page, say, select, selected
from bioacoustics.explorer.requests import CompareRequest, MapRequest, kept_table

CHART = {"displayModeBar": False}
MARGIN = {"l": 0, "r": 0, "t": 5, "b": 0}
COLOURS = ("#1f6f78", "#b5651d", "#6a4c93", "#8a9a5b", "#c1666b", "#4281a4", "#d4a017", "#2f4858")
MAX_DRAWN = 5000


@st.fragment
def compare_models(page: Page) -> None:
    """The panel."""
    if page.config.compare is None:
        st.info(say("compare_how"))
        return
    try:
        other = _other(str(page.config.compare))
        here, there = _matched(page, other)
    except (ValueError, OSError) as error:
        st.error(str(error))
        return
    if page.map.result is None:
        st.info(say("components_wait"))
        return
    vectors = other.save_vectors(work_folder())
    told = answer(page, "compared", _request(page, vectors, here, there)).result
    if told is not None:
        _figures(told)
    config = page.map.result.config.model_copy(update={"num_dimensions": 2})
    theirs = answer(page, "compare", MapRequest(vectors=vectors, config=config))
    if theirs.result is None:
        return
    first = page.map.result.coordinates[here][:, :2]
    _maps(page, here, first, aligned(theirs.result.coordinates[there], first))


@st.cache_resource(show_spinner=False, max_entries=1)
def _other(location: str) -> Collection:
    return read_collection(location)


def _matched(page: Page, other: Collection) -> tuple[np.ndarray, np.ndarray]:
    """The windows that both have, at most as many as can be drawn here."""
    here, there = matched(page.collection, other)
    if len(here) > MAX_DRAWN:
        kept = np.sort(np.random.default_rng(0).choice(len(here), MAX_DRAWN, replace=False))
        here, there = here[kept], there[kept]
    return here, there


def _request(page: Page, vectors: Path, here: np.ndarray, there: np.ndarray) -> CompareRequest:
    windows = page.collection.windows.iloc[here]
    texts = {name: windows[name].astype(str).to_numpy() for name in ("recording", "site", "labels")}
    numbers = {name: windows[name].to_numpy(float) for name in ("hour", "start_s")}
    table = pd.DataFrame({"here": here, "there": there, **texts, **numbers})
    return CompareRequest(vectors=page.all_vectors, others=vectors, windows=kept_table(table, work_folder()))


def _figures(told: Answer) -> None:
    left, right = st.columns([1, 2], gap="large")
    chance = float(told["chance"])
    left.metric(say("overlap"), f"{float(told['overlap']):.0%}", help=say("overlap_help", chance=chance))
    reports = [report_of(told, prefix) for prefix in ("one ", "other ")]
    rows = []
    for what in dict.fromkeys(one.what for report in reports for one in report.answers):
        skills = [
            next((round(one.skill, 2) for one in report.answers if one.what == what), None)
            for report in reports
        ]
        rows.append(
            {
                say("told_what"): say(f"told_{what}"),
                say("this_model"): skills[0],
                say("other_model"): skills[1],
            }
        )
    if rows:
        right.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(say("compare_help"))


def _maps(page: Page, here: np.ndarray, first: np.ndarray, second: Aligned) -> None:
    values = np.asarray(named_by(page, "compare_by"), dtype=str)[here]
    names = names_in_order(values.tolist())
    number_of = {name: i for i, name in enumerate(names)}
    colours = [COLOURS[number_of[v] % len(COLOURS)] if v else "#c9c9c9" for v in values]
    chosen = np.flatnonzero(np.isin(here, selected()))
    left, right = st.columns(2)
    for where, coordinates, key in ((left, first, "this_model"), (right, second.coordinates, "other_model")):
        figure = go.Figure(
            go.Scattergl(
                x=coordinates[:, 0],
                y=coordinates[:, 1],
                mode="markers",
                marker={"color": colours, "size": 5},
                customdata=here,
                text=values,
                hoverinfo="text",
                selectedpoints=chosen.tolist() if len(chosen) else None,
            )
        )
        figure.update_layout(height=380, margin=MARGIN, dragmode="lasso", showlegend=False)
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
        where.markdown(f"##### {say(key)}")
        event = where.plotly_chart(
            figure, config=CHART, key=f"map_{key}", on_select="rerun", selection_mode=("lasso", "box")
        )
        picked = tuple(event["selection"]["point_indices"])
        if picked and st.session_state.get(f"picked_{key}") != picked:
            st.session_state[f"picked_{key}"] = picked
            select(here[list(picked)])
            st.rerun()
    st.caption(say("maps_aligned", disparity=second.disparity))
