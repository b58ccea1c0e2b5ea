"""Season: windows that come to the map of a store: placed on it, told apart, and heard where they are new."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from bioacoustics.explorer.collection import read_collection
from bioacoustics.explorer.fitted_map import NOVEL_FROM
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.explorer.panels.listen import strip
from bioacoustics.explorer.panels.opened import Opened, opened_as, work_folder
from bioacoustics.explorer.panels.progress import retry
from bioacoustics.explorer.panels.session import Page, language, say, select
from bioacoustics.explorer.seasons import Season, UnlikeError, season_of, season_since

NOTHING, SAME_STORE = "", "date"
NUM_HEARD = 8
NUM_ROWS = 12


def with_season(config: OpeningConfig, store: Opened) -> Opened:
    """The store with the new season that the visitor chose; as it is, where there is none.

    What is wrong with a choice is said in the panel.
    """
    st.session_state.setdefault("season", config.season.name if config.season is not None else NOTHING)
    for name in {"season", "season_date"} & set(st.session_state):  # stay while another panel is shown
        st.session_state[name] = st.session_state[name]
    chosen, st.session_state["season_problem"] = st.session_state["season"], ""
    if chosen not in choices(config):
        st.session_state["season"] = chosen = NOTHING
    if chosen == SAME_STORE:
        dates = _dates(store)
        if st.session_state.get("season_date") not in dates:
            st.session_state["season_date"] = dates[-1] if dates else ""
        chosen = f"{SAME_STORE}:{st.session_state['season_date']}"
    if not chosen:
        if st.session_state.pop("season_shown", NOTHING):
            store.refresh_labels()
        return store
    try:
        with st.spinner(say("season_reading")):
            found = _opened(config, chosen, store)
    except UnlikeError as error:
        st.session_state["season_problem"] = error.sentence.told(language())
        return store
    except (ValueError, OSError) as error:
        st.session_state["season_problem"] = str(error)
        return store
    if st.session_state.get("season_shown") != chosen:
        st.session_state["season_shown"] = chosen
        st.session_state["colour"] = "season"
        found.refresh_labels()
    return found


def season(page: Page) -> None:
    """The panel; a choice draws the whole page anew."""
    _choose(page)
    if problem := st.session_state.get("season_problem"):
        st.error(problem)
    if page.season is None:
        st.info(say("season_help"))
        return
    status = page.jobs.status("season")
    if status.state == "failed":
        st.warning(say("work_failed", reason=status.error))
    if status.state in {"failed", "cancelled"}:
        st.button(say("work_again"), on_click=retry, args=(page, "season"), key="again_season")
    if page.map.result is None or not np.isfinite(page.map.result.novelty[page.num_known :]).any():
        st.info(say("season_placing"))
        return
    _found(page, page.season)


def choices(config: OpeningConfig) -> dict[str, str]:
    """What can be a new season: nothing, a store, or what one store holds from a date on."""
    names = {name: name for name in stores(config)}
    return {NOTHING: say("season_none"), **names, SAME_STORE: say("season_same_store")}


def stores(config: OpeningConfig) -> dict[str, Path]:
    """Stores that may be opened beside the first: what the command named, and those in its folder."""
    location, found = config.location().resolve(), {}
    if not config.embeds_first and location.parent.is_dir():
        beside = sorted(location.parent.glob("*.lance"))
        found = {path.name: path for path in beside if path.is_dir() and path != location}
    return found if config.season is None else {config.season.name: config.season, **found}


def _choose(page: Page) -> None:
    left, right = st.columns(2, vertical_alignment="bottom")
    offered = choices(page.config)
    left.selectbox(
        say("season_choose"), list(offered), format_func=offered.__getitem__, key="season", on_change=_forget
    )
    if st.session_state["season"] == SAME_STORE:
        dates = st.session_state.get("season_dates", [])
        if len(dates) < 2:
            right.caption(say("no_times"))
            return
        right.selectbox(say("season_date"), dates, key="season_date", on_change=_forget)


def _forget() -> None:
    """Positions mean other windows now."""
    for name in ("selected", "focus", "rings", "trail"):
        st.session_state.pop(name, None)


def _found(page: Page, opened: Season) -> None:
    """What came, how much of it is new, where, and how it sounds."""
    is_novel = page.is_novel
    num_new, num_novel = len(opened.new), int(is_novel.sum())
    st.markdown(say("season_placed", windows=num_new, novel=num_novel, share=num_novel / num_new))
    notes = [say("season_novel_help", share=NOVEL_FROM)]
    if opened.num_shared:
        notes.append(say("season_shared", number=opened.num_shared))
    st.caption(" ".join(notes))
    if not num_novel:
        return
    novelty = page.map.result.novelty
    left, right = st.columns([1, 1.3], gap="large")
    new = page.collection.windows.iloc[page.num_known :]
    with left:
        table = _by_recording(new, is_novel[page.num_known :])
        titles = {name: say(f"season_column_{name}") for name in table}
        narrow = {titles[name]: st.column_config.NumberColumn(width=70) for name in ("novel", "windows")}
        st.dataframe(table.rename(columns=titles), hide_index=True, column_config=narrow)
    positions = np.flatnonzero(is_novel)
    positions = positions[np.argsort(-novelty[positions], kind="stable")]
    with right:
        st.markdown(f"##### {say('season_hear')}")
        strip(page, "novel", _one_of_each(page, positions)[:NUM_HEARD])
        st.button(
            say("season_select", number=num_novel),
            icon=":material/select_all:",
            on_click=select,
            args=(positions,),
            key="select_novel",
        )


def _by_recording(new: pd.DataFrame, is_novel: np.ndarray) -> pd.DataFrame:
    """The recordings with most that is new."""
    rows = pd.DataFrame({"file": new["file"].astype(str).to_numpy(), "novel": is_novel})
    table = rows.groupby("file", sort=False)["novel"].agg(["sum", "size"]).reset_index()
    table = table[table["sum"] > 0].sort_values("sum", ascending=False, kind="stable").head(NUM_ROWS)
    return table.rename(columns={"sum": "novel", "size": "windows"})[["novel", "windows", "file"]]


def _one_of_each(page: Page, positions: np.ndarray) -> np.ndarray:
    """A window of each recording before a second of any."""
    recordings = page.collection.windows["recording"].astype(str).iloc[positions]
    turns = recordings.groupby(recordings.to_numpy()).cumcount().to_numpy()
    return positions[np.argsort(turns, kind="stable")]


def _dates(store: Opened) -> list[str]:
    """Every date but the first: from which on a season may be new."""
    dates = sorted(set(store.collection.windows["date"].astype(str)) - {""})
    st.session_state["season_dates"] = dates[1:]
    return dates[1:]


@st.cache_resource(show_spinner=False, max_entries=3, hash_funcs={Opened: lambda store: store.vectors.name})
def _opened(config: OpeningConfig, chosen: str, store: Opened) -> Opened:
    if chosen.startswith(f"{SAME_STORE}:"):
        found = season_since(store.collection, chosen.partition(":")[2], work_folder())
    else:
        other = read_collection(stores(config)[chosen], max_samples=config.max_samples, scratch=work_folder())
        found = season_of(store.collection, other, work_folder())
    known = store if found.known is store.collection else opened_as(found.known, store.jobs)
    return replace(
        known,
        collection=found.everything,
        jobs=store.jobs,
        season=(found, found.new.save_vectors(work_folder())),
    )
