"""Page: the explorer as a whole; it only puts the panels in their places."""

import traceback
from pathlib import Path
from typing import Any

import streamlit as st

from bioacoustics.explorer.fitted_map import MapConfig
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.explorer.panels.clusters import ask_clusters, clusters
from bioacoustics.explorer.panels.colour_and_filter import colour, filters, passing
from bioacoustics.explorer.panels.compare import compare_models
from bioacoustics.explorer.panels.export import export, restore_places, restore_view
from bioacoustics.explorer.panels.header import header, selection_bar, sidebar_counts
from bioacoustics.explorer.panels.listen import listen, similar
from bioacoustics.explorer.panels.map_settings import map_settings
from bioacoustics.explorer.panels.map_view import map_view
from bioacoustics.explorer.panels.opened import Opened, opened
from bioacoustics.explorer.panels.patterns import patterns
from bioacoustics.explorer.panels.principal_components import principal_components
from bioacoustics.explorer.panels.progress import SLOTS, progress
from bioacoustics.explorer.panels.safety import is_local_visitor
from bioacoustics.explorer.panels.season import season, with_season
from bioacoustics.explorer.panels.session import Page, say
from bioacoustics.explorer.panels.teach import teach_panel
from bioacoustics.explorer.panels.tour import tour
from bioacoustics.explorer.sounds import Sounds
from bioacoustics.explorer.spectrograms import view_of

STYLE = Path(__file__).parent / "assets" / "page.css"
# A panel is a function of the page, shown under its word `panel_NAME`.
PANELS = {
    "clusters": clusters,
    "components": principal_components,
    "patterns": patterns,
    "teach": teach_panel,
    "season": season,
    "compare": compare_models,
    "export": export,
}


def show(config: OpeningConfig) -> None:
    """Draw the page for a visitor; whatever goes wrong becomes a sentence."""
    _begin(config)
    if not is_local_visitor():
        st.error(say("not_local"))
        return
    store = opened(config)
    if store is None:
        return
    try:
        _show(config, store)
    except (ValueError, OSError) as error:
        st.error(say("unforeseen", reason=str(error)))
        traceback.print_exc()


def complain(message: str) -> None:
    """Say why nothing can be opened."""
    _begin(None)
    st.error(f"**{say('cannot_open')}**\n\n{message}")


def _begin(config: OpeningConfig | None) -> None:
    st.set_page_config(page_title="bioacoustics", page_icon=str(STYLE.with_name("icon.png")), layout="wide")
    st.html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
    if "language" not in st.session_state:
        asked = config.language if config is not None else None
        st.session_state["language"] = asked or ("es" if (st.context.locale or "").startswith("es") else "en")


def _show(config: OpeningConfig, store: Opened) -> None:
    restore_view()
    with st.sidebar:
        wanted = map_settings()
    page = _page_of(config, with_season(config, store), wanted)
    with st.sidebar:
        progress(page)
        page.colouring = colour(page)
        page.passes = passing(page, filters(page))
        sidebar_counts(page)
    reading = page.collection.facts.get("front_end") or {}
    st.session_state.setdefault("spectrogram", view_of(float(reading.get("time_expansion", 1))))
    restore_places(page)
    header(page)
    with st.container():  # always there, so that what follows keeps its place
        tour()
    left, right = st.columns([1.32, 1], gap="medium")
    with left:
        map_view(page)
        selection_bar(page)
    with right, st.container(key="listen"):
        listen(page)
    similar(page)
    _panels(page)


def _page_of(config: OpeningConfig, store: Opened, wanted: MapConfig) -> Page:
    num_ended = store.jobs.num_ended(SLOTS)  # before the first answer is looked at
    mapped, files = store.ask_map(wanted), store.save_all()
    return Page(
        config=config,
        collection=store.collection,
        sounds=Sounds(store.collection.windows, config.data_dir),
        jobs=store.jobs,
        num_ended=num_ended,
        vectors=store.vectors,
        recordings=store.recordings,
        all_vectors=files[0],
        all_recordings=files[1],
        map=mapped.work,
        map_file=mapped.map,
        placed_file=mapped.placed,
        clusters=ask_clusters(store),
        season=store.season[0] if store.season is not None else None,
        refresh_labels=store.refresh_labels,
    )


def _panels(page: Page) -> None:
    st.session_state.setdefault("panel", next(iter(PANELS)))
    chosen: Any = st.segmented_control(
        say("panel"),
        list(PANELS),
        format_func=lambda name: say(f"panel_{name}"),
        key="panel",
        label_visibility="collapsed",
        required=True,
    )
    with st.container(key="panel_body", border=True):
        PANELS[chosen or "clusters"](page)
