"""Surroundings: where and by what recordings were made, and how loud windows are; read beside the page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.answers import table_of
from bioacoustics.explorer.panels.opened import work_folder
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page
from bioacoustics.explorer.requests import SurveyRequest, kept_table
from bioacoustics.explorer.sounds import NotOpenedError
from bioacoustics.explorer.surveying import NUM_MEASURED


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What headers and levels say.

    Attributes:
        places: By recording: recorder, latitude, longitude, utc_offset_h; see `places_of`.
        loudness: In dB of full scale, of `NUM_MEASURED` windows, evenly chosen; NaN of the others.
    """

    places: pd.DataFrame
    loudness: Float[np.ndarray, " windows"]


def surroundings(page: Page) -> Surroundings | None:
    """What is known of the places of recordings; None while it is being read, which the page says then."""
    work = answer(page, "survey", _request(page))
    if work.result is None:
        return None
    loudness = np.full(page.num_windows, np.nan)
    loudness[work.result["position"]] = work.result["level_db"]
    return Surroundings(table_of(work.result, "place ").set_index("recording"), loudness)


def _request(page: Page) -> SurveyRequest:
    """Made once for each visitor and collection."""
    kept: tuple[str, SurveyRequest] | None = st.session_state.get("survey")
    if kept is not None and kept[0] == page.collection.fingerprint:
        return kept[1]
    windows = page.collection.windows
    firsts = np.flatnonzero(~windows["recording"].duplicated().to_numpy())
    chosen = np.unique(np.linspace(0, page.num_windows - 1, NUM_MEASURED).astype(int))
    path_of = {int(at): _path(page, int(at)) for at in np.union1d(firsts, chosen)}
    recordings = windows.iloc[firsts][["recording", "file"]].astype(str)
    measured = windows.iloc[chosen][["channel", "start_s", "end_s"]].astype({"channel": str})
    table = page.config.deployments
    request = SurveyRequest(
        recordings=kept_table(recordings.assign(path=[path_of[int(at)] for at in firsts]), work_folder()),
        windows=kept_table(
            measured.assign(position=chosen, path=[path_of[int(at)] for at in chosen]), work_folder()
        ),
        deployments="" if table is None else str(table.resolve()),
        deployments_changed_ns=0 if table is None or not table.exists() else table.stat().st_mtime_ns,
    )
    st.session_state["survey"] = (page.collection.fingerprint, request)
    return request


def _path(page: Page, position: int) -> str:
    """Where the recording of a window lies; nowhere, if it may not be opened."""
    try:
        return str(Path(page.sounds.path_of(position)).resolve())
    except (UnreadableAudioError, NotOpenedError, OSError):
        return ""
