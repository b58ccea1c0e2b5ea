"""Recording: one recording from its beginning to its end, seen as a whole, with its windows below."""

import math
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.colours import Colouring, by_kind
from bioacoustics.explorer.overview import MAX_DECODED_S, PIECE_S, WHOLE_S, Overview
from bioacoustics.explorer.panels.components import encoded, mount
from bioacoustics.explorer.panels.listen import reason_of
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page, focus, listen_to, say
from bioacoustics.explorer.requests import OverviewRequest
from bioacoustics.explorer.sounds import NotOpenedError
from bioacoustics.explorer.spectrograms import band_khz, png_of
from bioacoustics.explorer.temporal import timeline, trajectory
from bioacoustics.explorer.ticks import frequency_ticks, time_ticks

SIZE = (1200, 190)  # of the picture
SHORTEST_PART_S = 0.05


def recording(page: Page, values: list[str]) -> None:
    """One recording as a spectrogram over a line of its windows, and as a way over the map."""
    chosen = _chosen(page)
    table = timeline(page.collection.windows, values, chosen)
    whole = (0.0, _duration_s(page, chosen, table))
    part = st.session_state.get("line_part")
    span = part[1] if part is not None and part[0] == chosen else whole
    seen, reason = _overview(page, int(table["position"].iloc[0]), str(table["channel"].iloc[0]), span)
    mount(
        "timeline",
        key="timeline",
        data=_data(table, seen, span, reason),
        on_picked_change=_picked(page),
        on_part_change=_zoomed(chosen, whole[1]),
    )
    _rule(seen, span)
    left, middle, right = st.columns(3)
    left.button(
        say("line_whole"),
        icon=":material/zoom_out_map:",
        disabled=span == whole,
        on_click=st.session_state.pop,
        args=("line_part", None),
        width="stretch",
        key="line_whole",
    )
    if middle.button(say("draw_way"), icon=":material/timeline:", width="stretch"):
        st.session_state["trail"] = trajectory(page.collection.windows, chosen).tolist()
        st.rerun()
    if right.button(say("forget_way"), width="stretch"):
        st.session_state["trail"] = []
        st.rerun()
    if st.session_state.pop("line_moved", False):
        st.rerun()


def _chosen(page: Page) -> str:
    """The recording: at first that of the window in focus."""
    names = page.collection.windows.drop_duplicates("recording")[["recording", "file"]].astype(str)
    files = dict(zip(names["recording"], names["file"], strict=True))
    if st.session_state.get("line_of") not in files:
        at = focus()
        st.session_state["line_of"] = (
            next(iter(files)) if at is None else str(page.collection.windows["recording"].iloc[at])
        )
    return str(st.selectbox(say("recording"), list(files), format_func=files.__getitem__, key="line_of"))


def _duration_s(page: Page, chosen: str, table: pd.DataFrame) -> float:
    known = page.collection.recorded["duration_s"].get(chosen, math.nan)
    return float(known) if known > 0 else float(table["end_s"].max())


def _overview(
    page: Page, position: int, channel: str, span: tuple[float, float]
) -> tuple[Overview | None, str]:
    """The spectrogram, or why there is none."""
    try:
        path = page.sounds.path_of(position)
        changed_ns = path.stat().st_mtime_ns
    except (UnreadableAudioError, NotOpenedError, OSError) as error:
        return None, say("no_sound", reason=reason_of(error))
    request = OverviewRequest(
        recording=str(path.resolve()),
        changed_ns=changed_ns,
        channel=channel,
        start_s=round(span[0], 3),
        end_s=round(span[1], 3),
    )
    work = answer(page, "overview", request)
    return work.result, say("line_wait") if work.state == "running" else work.error


def _data(
    table: pd.DataFrame, seen: Overview | None, span: tuple[float, float], reason: str
) -> dict[str, Any]:
    inside = table[(table["end_s"] > span[0]) & (table["start_s"] < span[1])]
    colouring: Colouring = by_kind(inside["value"], say("others"))
    channels = sorted(set(table["channel"]))
    names = [*colouring.names, *[""] * (256 - len(colouring.names))]
    at = focus()
    return {
        "picture": "" if seen is None else encoded(_picture(seen)),
        "start_s": span[0],
        "end_s": span[1],
        "starts": inside["start_s"].round(3).tolist(),
        "ends": inside["end_s"].round(3).tolist(),
        "positions": inside["position"].astype(int).tolist(),
        "codes": colouring.codes.tolist(),
        "rows": [channels.index(name) for name in inside["channel"]],
        "channels": channels if len(channels) > 1 else [""],
        "palette": list(colouring.palette),
        "names": names,
        "focus": -1 if at is None else at,
        "times": time_ticks(*span),
        "frequencies": [] if seen is None else frequency_ticks(*_band_khz(seen)),
        "texts": {"picture": say("player_picture"), "wait": reason},
    }


def _picture(seen: Overview) -> bytes:
    """In the colours and the band that the player has; what could not be decoded is dark."""
    low, high = _band_khz(seen)
    bins_khz = np.linspace(0, seen.sample_rate_hz / 2000, seen.levels.shape[1])
    first = int(np.searchsorted(bins_khz, low))
    last = max(int(np.searchsorted(bins_khz, high, side="right")), first + 1)
    levels = seen.levels[:, first:last]
    return png_of(np.nan_to_num(levels, nan=float(np.nanmin(levels))), st.session_state["spectrogram"], *SIZE)


def _band_khz(seen: Overview) -> tuple[float, float]:
    return band_khz(st.session_state["spectrogram"], seen.sample_rate_hz)


def _rule(seen: Overview | None, span: tuple[float, float]) -> None:
    """What of the sound is in the picture."""
    notes = [say("line_help")]
    if seen is not None and span[1] - span[0] > WHOLE_S:
        notes.append(say("line_rule", heard=seen.heard_s, piece=PIECE_S, columns=len(seen.levels)))
        if np.isnan(seen.levels[-1]).all():
            notes.append(say("line_cut", minutes=round(MAX_DECODED_S / 60)))
    st.caption(" ".join(notes))


def _picked(page: Page) -> Any:
    def picked() -> None:
        event = st.session_state["timeline"].get("picked")
        if event and 0 <= int(event["position"]) < page.num_windows:
            listen_to(int(event["position"]))
            st.session_state["line_moved"] = True

    return picked


def _zoomed(chosen: str, duration_s: float) -> Any:
    def zoomed() -> None:
        event = st.session_state["timeline"].get("part")
        if not event:
            return
        if event["start_s"] is None:
            st.session_state.pop("line_part", None)
            return
        start_s, end_s = max(0.0, float(event["start_s"])), min(duration_s, float(event["end_s"]))
        if end_s - start_s >= SHORTEST_PART_S:
            st.session_state["line_part"] = (chosen, (start_s, end_s))

    return zoomed
