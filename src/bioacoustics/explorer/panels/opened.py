"""Opened: the store that the page looks at, read once for all visitors; made first where it must be."""

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from bioacoustics.explorer.answers import Work, map_with, work_of
from bioacoustics.explorer.background import Jobs, Status
from bioacoustics.explorer.collection import Collection, read_collection, with_labels
from bioacoustics.explorer.fitted_map import MapConfig, PCAConfig
from bioacoustics.explorer.opening import OpeningConfig, cache_folder
from bioacoustics.explorer.panels.session import say
from bioacoustics.explorer.preparing import Preparation
from bioacoustics.explorer.requests import MapRequest, PlaceRequest
from bioacoustics.explorer.seasons import Season

POLL_S = 0.7


@dataclass(slots=True, kw_only=True)
class Opened:
    """Windows in memory with the work that goes on behind the page.

    Attributes:
        collection: All windows that are shown; behind the known ones those of a new season, if there is one.
        jobs: The work.
        vectors: A file with the vectors of the known windows, which the map and the clusters are made of.
        recordings: A file with the recording of each known window.
        season: What is new, and the file of its vectors.
    """

    collection: Collection
    jobs: Jobs
    vectors: Path
    recordings: Path
    season: tuple[Season, Path] | None = None

    @property
    def num_known(self) -> int:
        """How many windows the map is made of; the others come behind them."""
        return len(self.collection) if self.season is None else len(self.season[0].known)

    def save_all(self) -> tuple[Path, Path]:
        """Files with the vectors and the recordings of all windows that are shown."""
        if self.season is None:
            return self.vectors, self.recordings
        folder = work_folder()
        return self.collection.save_vectors(folder), self.collection.save_recordings(folder)

    def ask_map(self, config: MapConfig) -> "Mapped":
        """The map that is wanted, or the one before it while that is computed; with the new season on it."""
        asked = MapRequest(vectors=self.vectors, groups=self.recordings, config=config)
        status = self.jobs.ask("map", asked)
        if status.result is None and status.state in {"running", "cancelled"}:
            # Something to look at within a second, where nothing was there before.
            quick = asked.model_copy(update={"config": PCAConfig(num_dimensions=config.num_dimensions)})
            status = self.jobs.ask("first map", quick)
        if self.season is None or status.result is None:
            return Mapped(work_of(status), status.result)
        return self._with_season(status, self.season[1])

    def _with_season(self, status: Status, vectors: Path) -> "Mapped":
        assert status.result is not None
        place = self.jobs.ask("season", PlaceRequest(vectors=vectors, map=status.result))
        shown = status.result
        if isinstance(place.answered, PlaceRequest) and place.answered.map.exists():
            shown = place.answered.map  # the map before it, until the season is placed on the new one
        num_new = len(self.collection) - self.num_known
        try:
            found = map_with(shown, place.result, num_new)
        except (OSError, ValueError, KeyError) as error:
            return Mapped(Work("failed", str(error)), None)
        return Mapped(Work(status.state, status.error, found), shown, place.result)

    def refresh_labels(self) -> None:
        """Take in labels that were given meanwhile."""
        self.collection = with_labels(self.collection)


@dataclass(frozen=True, slots=True)
class Mapped:
    """The map that is shown, and the files that hold it, which other work starts from."""

    work: Work  # its result is a FittedMap of all windows, or None
    map: Path | None
    placed: Path | None = None


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


def work_folder() -> Path:
    """Where files lie that work in the background reads."""
    return cache_folder() / "explorer" / "work"


def opened_as(collection: Collection, jobs: Jobs) -> Opened:
    """A collection with the files that the work reads."""
    files = (collection.save_vectors(work_folder()), collection.save_recordings(work_folder()))
    return Opened(collection=collection, jobs=jobs, vectors=files[0], recordings=files[1])


@st.cache_resource(show_spinner=False, max_entries=2)
def _read(config: OpeningConfig) -> Opened:
    work_folder().mkdir(parents=True, exist_ok=True)
    limit = None if config.embeds_first else config.max_samples
    collection = read_collection(str(config.location()), max_samples=limit, scratch=work_folder())
    return opened_as(collection, Jobs(cache_folder() / "explorer" / "maps"))


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
