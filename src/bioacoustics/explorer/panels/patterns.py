"""Patterns in time: when something is heard, what follows what, and the way of a recording over the map."""

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.explorer.effort import Effort, effort_of
from bioacoustics.explorer.panels.naming import named_by, names_in_order
from bioacoustics.explorer.panels.recording import recording
from bioacoustics.explorer.panels.session import Page, say
from bioacoustics.explorer.panels.surroundings import surroundings
from bioacoustics.explorer.temporal import (
    activity_by_day,
    activity_by_hour,
    heat_map,
    legible,
    mean_score,
    sun_times,
    transitions,
)

CHART = {"displayModeBar": False}
MARGIN = {"l": 0, "r": 0, "t": 5, "b": 0}
MAX_LINES = 12
MAX_DAYS = 90  # rows of the heat map that the eye can tell apart
LINES = ("#1f6f78", "#b5651d", "#6a4c93", "#8a9a5b", "#c1666b", "#4281a4", "#d4a017", "#5c5c5c")


@st.fragment
def patterns(page: Page) -> None:
    """The panel."""
    values = named_by(page, "patterns_by")
    views: dict[str, Callable[[Page, list[str]], None]] = {
        "season": _season,
        "hours": _hours,
        "recording": recording,
        "follows_what": _transitions,
    }
    chosen = st.segmented_control(
        say("patterns_view"),
        list(views),
        format_func=lambda name: say(f"patterns_{name}"),
        key="patterns_view",
        default="season",
        required=True,
        label_visibility="collapsed",
    )
    views[chosen or "season"](page, values)


def _season(page: Page, values: list[str]) -> None:
    """One heat map of days and hours."""
    windows = page.collection.windows
    if not windows["local_time"].notna().any():
        st.info(say("no_times"))
        return
    scores = {f"p({label})": i for i, label in enumerate(page.collection.score_labels)}
    names = [*names_in_order(values), *scores]
    if not names:
        st.info(say("nothing_named"))
        return
    if st.session_state.get("season_of") not in names:
        st.session_state["season_of"] = names[0]
    chosen = st.selectbox(say("season_of"), names, key="season_of")
    if chosen in scores and page.collection.scores is not None:
        table = mean_score(windows, page.collection.scores[:, scores[chosen]].astype(float))
        unit = say("mean_score")
    else:
        table = heat_map(windows, values, chosen, effort_of(page.collection))
        unit = say("per_hour")
    num_days = len(table)
    table = legible(table, MAX_DAYS)
    figure = go.Figure(
        go.Heatmap(
            z=table.to_numpy(),
            x=list(table.columns),
            y=list(table.index),
            colorscale="YlGnBu",
            hoverongaps=False,
            colorbar={"title": unit},
        )
    )
    has_sun = _draw_sun(page, figure, list(table.index))
    figure.update_xaxes(title=say("hour_of_day"), dtick=3, range=[-0.5, 23.5])
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=min(150 + 22 * len(table), 620), margin=MARGIN, showlegend=False)
    st.plotly_chart(figure, config=CHART, key="season_chart")
    notes = [say("season_hours_help")]
    if chosen not in scores:
        notes.append(_effort_said(effort_of(page.collection)))
    if len(table) < num_days:
        notes.append(say("days_folded", rows=len(table), days=num_days))
    if has_sun:
        notes.append(say("sun_drawn"))
    st.caption(" ".join(notes))


def _effort_said(effort: Effort) -> str:
    """By what activity is divided."""
    if effort.windows_per_hour is None:
        return say("effort_help", hours=effort.total_h)
    return say("effort_sampled", hours=effort.total_h, windows=effort.windows_per_hour)


def _draw_sun(page: Page, figure: go.Figure, days: list[str]) -> bool:
    """Sunrise and sunset, where one place and its clock are known."""
    found = surroundings(page)
    if found is None:
        return False
    known = found.places.dropna(subset=["latitude", "longitude", "utc_offset_h"])
    if known.empty:
        return False
    place = known.iloc[0]
    table = sun_times(days, *(float(place[name]) for name in ("latitude", "longitude", "utc_offset_h")))
    for name in ("sunrise", "sunset"):  # a column of the map is centred on its hour's number
        figure.add_scatter(
            x=table[name] - 0.5, y=table["date"], mode="lines", line={"color": "#e07a1f"}, name=say(name)
        )
    return True


def _hours(page: Page, values: list[str]) -> None:
    windows = page.collection.windows
    if not windows["local_time"].notna().any():
        st.info(say("no_times"))
        return
    shown = names_in_order(values)[:MAX_LINES]
    effort = effort_of(page.collection)
    left, right = st.columns(2, gap="large")
    for where, title, table, key in (
        (left, "activity_by_hour", activity_by_hour(windows, values, effort), "hours_chart"),
        (right, "activity_by_day", activity_by_day(windows, values, effort), "days_chart"),
    ):
        figure = go.Figure()
        for i, name in enumerate(shown):
            figure.add_scatter(
                x=list(table.columns),
                y=table.loc[name].to_numpy(),
                name=name,
                mode="lines+markers",
                line={"color": LINES[i % len(LINES)], "dash": "solid" if i < len(LINES) else "dot"},
            )
        figure.update_layout(
            height=340, margin=MARGIN, legend={"orientation": "h"}, yaxis_title=say("per_hour")
        )
        where.markdown(f"##### {say(title)}")
        where.plotly_chart(figure, config=CHART, key=key)
    st.caption(_effort_said(effort))


def _transitions(page: Page, values: list[str]) -> None:
    told = transitions(page.collection.windows, values)
    if not told.counts.any():
        st.info(say("nothing_follows"))
        return
    figure = go.Figure(
        go.Heatmap(
            z=np.round(told.shares, 3),
            x=list(told.names),
            y=list(told.names),
            customdata=told.counts,
            hovertemplate="%{y} → %{x}: %{z:.0%} (%{customdata})<extra></extra>",
            zmin=0,
            colorscale="YlGnBu",
        )
    )
    figure.update_xaxes(title=say("after"), type="category")
    figure.update_yaxes(title=say("before"), autorange="reversed", type="category")
    figure.update_layout(height=180 + 24 * len(told.names), margin=MARGIN)
    st.plotly_chart(figure, config=CHART, key="transitions_chart")
    st.caption(say("transitions_help"))
