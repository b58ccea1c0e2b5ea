"""Opened: the store that the page looks at, read once for all visitors; made first where it must be."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from bioacoustics.explorer.answers import Work, work_of
from bioacoustics.explorer.background import Jobs
from bioacoustics.explorer.collection import Collection, read_collection, with_labels
from bioacoustics.explorer.opening import OpeningConfig, cache_folder
from bioacoustics.explorer.panels.session import say
from bioacoustics.explorer.preparing import Preparation
from bioacoustics.explorer.projection import MapConfig, PCAConfig
from bioacoustics.explorer.requests import MapRequest

POLL_S = 0.7


@dataclass(slots=True)
class Opened:
    """A store in memory with the work that goes on behind the page."""

    collection: Collection
    jobs: Jobs
    vectors: Any  # a file that the work reads
    recordings: Any  # another, with the recording of each window

    def ask_map(self, config: MapConfig) -> Work:
        """The map that is wanted, or the one before it while that is computed."""
        status = self.jobs.ask("map", MapRequest(vectors=self.vectors, groups=self.recordings, config=config))
        if status.result is not None or status.state != "running":
            return work_of(status)
        # Something to look at within a second, where nothing was there before.
        quick = PCAConfig(num_dimensions=config.num_dimensions)
        return work_of(
            self.jobs.ask("first map", MapRequest(vectors=self.vectors, groups=self.recordings, config=quick))
        )

    def refresh_labels(self) -> None:
        """Take in labels that were given meanwhile."""
        self.collection = with_labels(self.collection)


def opened(config: OpeningConfig) -> Opened | None:
    """The store; None while there is nothing to show yet, which the page has said then."""
    if config.embeds_first and not _is_prepared(config):
        return None
    try:
        with st.spinner(say("stage_headers") if config.embeds_first else str(config.location())):
            return _read(config)
    except (ValueError, OSError) as error:
        st.error(f"**{say('cannot_open')}**\n\n{error}")
        return None


@st.cache_resource(show_spinner=False, max_entries=2)
def _read(config: OpeningConfig) -> Opened:
    scratch = cache_folder() / "explorer" / "work"
    scratch.mkdir(parents=True, exist_ok=True)
    limit = None if config.embeds_first else config.max_samples
    collection = read_collection(str(config.location()), max_samples=limit, scratch=scratch)
    jobs = Jobs(cache_folder() / "explorer" / "maps")
    return Opened(collection, jobs, collection.save_vectors(scratch), collection.save_recordings(scratch))


@st.cache_resource(show_spinner=False, max_entries=2)
def _preparation(config: OpeningConfig, attempt: int) -> Preparation:
    return Preparation(config)


def _is_prepared(config: OpeningConfig) -> bool:
    """Whether all is embedded; shows how far it is until then."""
    attempt: int = st.session_state.setdefault("attempt", 0)
    stage = _preparation(config, attempt).stage()
    if not stage.is_running and not stage.error:
        return True
    st.markdown(f"## {say('preparing')}")
    st.caption(say("preparing_help"))
    st.fragment(_wait, run_every=POLL_S if stage.is_running else None)(config, attempt)
    return False


def _wait(config: OpeningConfig, attempt: int) -> None:
    preparation = _preparation(config, attempt)
    stage = preparation.stage()
    if not stage.is_running and not stage.error:
        st.rerun()
    if stage.error:
        st.error(say("cancelled") if st.session_state.get("has_cancelled") else stage.error)
        if st.button(say("go_on"), type="primary"):
            st.session_state["attempt"] = attempt + 1
            st.session_state["has_cancelled"] = False
            st.rerun()
        return
    st.progress(stage.share, say(f"stage_{stage.name}", done=stage.done, total=stage.total))
    if st.button(say("cancel")):
        st.session_state["has_cancelled"] = True
        preparation.cancel()
        st.rerun()
