"""Export: tables, selections, clips, pictures, and the view itself as a link or a file."""

import hashlib
from typing import Any, Literal

import numpy as np
import streamlit as st

from bioacoustics.explorer.exporting import clips_zip, map_picture, selection_tables
from bioacoustics.explorer.links import ViewState, from_address, from_json, to_address, to_json
from bioacoustics.explorer.panels.session import Page, focus, listen_to, say, select, selected

MAX_CLIPS = 200
CONTROLS = tuple(
    name for name in ViewState.model_fields if name not in {"version", "focus", "selected", "cluster_names"}
)


@st.fragment
def export(page: Page) -> None:
    """The panel."""
    left, middle, right = st.columns(3, gap="large")
    with left:
        _selection(page)
    with middle:
        _pictures(page)
    with right:
        _view(page)


def _selection(page: Page) -> None:
    st.markdown(f"##### {say('export_what')}")
    assert page.passes is not None
    choices: dict[str, Any] = {
        "selected": selected(),
        "fitting": np.flatnonzero(page.passes),
        "all": np.arange(page.num_windows),
    }
    chosen = st.radio(
        say("export_what"),
        list(choices),
        format_func=lambda n: say(f"export_{n}", number=len(choices[n])),
        key="export_what",
        label_visibility="collapsed",
    )
    positions = choices[chosen or "selected"]
    if not len(positions):
        st.caption(say("nothing_to_export"))
        return
    st.caption(say("export_clips_limit", number=MAX_CLIPS))
    digest = hashlib.sha256(np.asarray(positions, np.int64).tobytes()).hexdigest()
    if st.button(say("export_prepare"), type="primary"):
        st.session_state["exports"] = (digest, _files(page, positions))
    prepared = st.session_state.get("exports")
    if prepared is not None and prepared[0] == digest:
        for name, (file_name, content) in prepared[1].items():
            st.download_button(
                say(f"export_{name}"),
                content,
                file_name,
                key=f"get_{name}",
                on_click="ignore",
                width="stretch",
            )


def _files(page: Page, positions: Any) -> dict[str, tuple[str, bytes]]:
    tables = selection_tables(page.collection, positions, page.sounds)
    clips = clips_zip(page.collection, positions[:MAX_CLIPS], page.sounds)
    return {
        "table": ("windows.csv", tables.csv),
        "raven": ("windows.selections.txt", tables.raven),
        "audacity": ("audacity.zip", tables.audacity),
        "clips": ("clips.zip", clips),
    }


def _pictures(page: Page) -> None:
    st.markdown(f"##### {say('map')}")
    if page.map.result is None or page.colouring is None or page.passes is None:
        st.caption(say("nothing_to_export"))
        return
    _picture_button(page, "png")
    _picture_button(page, "svg")


def _picture_button(page: Page, kind: Literal["png", "svg"]) -> None:
    def drawn() -> bytes:  # only when it is asked for
        assert page.colouring is not None
        assert page.passes is not None
        return map_picture(page.map.result, page.colouring, page.passes, selected(), kind)

    name = f"map.{kind}"
    st.download_button(
        say(f"export_{kind}"), drawn, name, key=f"get_map_{kind}", on_click="ignore", width="stretch"
    )


def _view(page: Page) -> None:
    st.markdown(f"##### {say('export_state')}")
    st.caption(say("export_state_help"))
    state = view_state(page)
    st.query_params["view"] = to_address(state)
    st.download_button(
        say("export_state_file"),
        to_json(state),
        "view.json",
        on_click="ignore",
        key="get_view",
        width="stretch",
    )
    given = st.file_uploader(say("export_state_load"), type="json", key="view_file")
    if given is not None and st.session_state.get("view_taken") != given.file_id:
        st.session_state["view_taken"] = given.file_id
        try:
            st.session_state["view_wanted"] = from_json(given.getvalue().decode("utf-8", "replace"))
        except ValueError as error:
            st.error(say("bad_state", reason=str(error)))
        else:
            st.rerun()


def view_state(page: Page) -> ViewState:
    """What the visitor sees now."""
    ids, at = page.collection.windows["id"], focus()
    said = {name: st.session_state[name] for name in CONTROLS if st.session_state.get(name) is not None}
    return ViewState(
        **said,
        cluster_names=st.session_state.get("cluster_names", {}),
        focus="" if at is None else str(ids.iloc[at]),
        selected=tuple(map(str, ids.iloc[selected()])),
    )


def restore_view() -> None:
    """Take in the view of the address at the first visit, or of a file that was given; before any control."""
    wanted: ViewState | None = st.session_state.pop("view_wanted", None)
    if "view_read" not in st.session_state:
        st.session_state["view_read"] = True
        if st.query_params.get("view"):
            try:
                wanted = from_address(st.query_params["view"])
            except ValueError as error:
                st.toast(say("bad_state", reason=str(error)))
    if wanted is None:
        return
    for name in CONTROLS:
        st.session_state[name] = getattr(wanted, name)
    st.session_state["cluster_names"] = wanted.cluster_names
    st.session_state["ids_wanted"] = (wanted.focus, wanted.selected)


def restore_places(page: Page) -> None:
    """Find the windows of a restored view in this store; those that it does not have are left out."""
    wanted = st.session_state.pop("ids_wanted", None)
    if wanted is None:
        return
    place_of = {name: at for at, name in enumerate(page.collection.windows["id"])}
    listen_to(place_of.get(wanted[0]))
    select([place_of[name] for name in wanted[1] if name in place_of])
