"""Session: what one visitor looks at, shared by all panels: language, selection, the window in focus."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from jaxtyping import Bool, Int

from bioacoustics.explorer.answers import Work
from bioacoustics.explorer.background import Jobs
from bioacoustics.explorer.collection import Collection
from bioacoustics.explorer.colours import Colouring
from bioacoustics.explorer.fitted_map import NOVEL_FROM
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.explorer.seasons import Season
from bioacoustics.explorer.sounds import Sounds
from bioacoustics.explorer.words import Language, word

Positions = Int[np.ndarray, " _"]
MAX_TRACES = 30  # steps that can be taken back


@dataclass(slots=True)
class Page:
    """All that a panel may ask for; made anew in each run, cheap to make."""

    config: OpeningConfig
    collection: Collection
    sounds: Sounds
    jobs: Jobs
    num_ended: int  # how much work of the whole page had ended before anything of it was drawn
    vectors: Path  # of the known windows, which map and clusters are made of; work in the background reads it
    recordings: Path  # of the same, the recording of each
    all_vectors: Path  # of all windows that are shown
    all_recordings: Path
    map: Work  # of the newest map; its result is a FittedMap of all windows, or None
    map_file: Path | None  # where that map lies
    placed_file: Path | None  # where the new season on it lies
    clusters: Work  # of the newest grouping; its result holds Clusters or None
    season: Season | None  # the windows behind the known ones, if there are any
    refresh_labels: Callable[[], None]  # after some were given
    colouring: Colouring | None = None
    passes: Bool[np.ndarray, " windows"] | None = None  # which windows fit the filters

    def say(self, key: str, **values: object) -> str:
        """A sentence in the visitor's language."""
        return word(key, language(), **values)

    @property
    def num_known(self) -> int:
        """How many windows the map is made of; those of a new season come behind them."""
        return self.num_windows if self.season is None else len(self.season.known)

    @property
    def is_novel(self) -> Bool[np.ndarray, " windows"]:
        """Which windows of a new season lie off the map."""
        found = np.zeros(self.num_windows, bool)
        if self.map.result is not None:
            found[self.num_known :] = self.map.result.novelty[self.num_known :] >= NOVEL_FROM
        return found

    @property
    def num_windows(self) -> int:
        """How many windows there are."""
        return len(self.collection.windows)


def language() -> Language:
    """The visitor's language."""
    return "es" if st.session_state.get("language") == "es" else "en"


def say(key: str, **values: object) -> str:
    """A sentence in the visitor's language."""
    return word(key, language(), **values)


def selected() -> Positions:
    """The selected windows, in order."""
    found: Positions = st.session_state.get("selected", np.empty(0, np.int64))
    return found


def select(positions: Any, *, how: str = "replace") -> None:
    """Select windows in place of, besides, or out of those that are selected."""
    given, old = np.unique(np.asarray(positions, np.int64)), selected()
    join: dict[str, Callable[[], Positions]] = {
        "replace": lambda: given,
        "add": lambda: np.union1d(old, given),
        "subtract": lambda: np.setdiff1d(old, given),
    }
    st.session_state["selected"] = join[how]()


def focus() -> int | None:
    """The window that is listened to."""
    position: int | None = st.session_state.get("focus")
    return position


def listen_to(position: int | None) -> None:
    """Put a window in focus; the player and the map follow."""
    st.session_state["focus"] = None if position is None else int(position)


def heading(key: str) -> None:
    """A title in the bar at the side."""
    st.html(f'<div class="side">{say(key)}</div>')
