"""Teach: label windows, fit a classifier to the labels, hear what to label next, save it for `predict`."""

import getpass
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from bioacoustics.explorer.journals import LabelJournals, all_statements
from bioacoustics.explorer.label_journal import read_labels_into, targets_of, write_labels
from bioacoustics.explorer.panels.hear_next import hear_next
from bioacoustics.explorer.panels.opened import work_folder
from bioacoustics.explorer.panels.progress import answer
from bioacoustics.explorer.panels.session import Page, focus, language, say, selected
from bioacoustics.explorer.requests import GrowthRequest, TeachRequest, kept_table
from bioacoustics.explorer.teaching import Taught, TeachConfig
from bioacoustics.store.database import Store

CHART = {"displayModeBar": False}
MARGIN = {"l": 0, "r": 0, "t": 5, "b": 0}


@st.fragment
def teach_panel(page: Page) -> None:
    """The panel."""
    left, right = st.columns([1, 1.7], gap="large")
    with left:
        _label(page)
        _tables(page)
    said = all_statements(page.collection.locations)
    with right:
        taught = _classifier(page, said)
    hear_next(page, said, taught)


def _journals(page: Page) -> LabelJournals | None:
    who = st.text_input(say("who"), key="who", max_chars=60, placeholder=say("who_hint"))
    if not who.strip():
        st.caption(say("who_needed"))
        return None
    kept: LabelJournals | None = st.session_state.get("journals")
    if kept is None or kept.who != who.strip() or kept.locations != page.collection.locations:
        kept = LabelJournals(page.collection.locations, who)
        st.session_state["journals"] = kept
    return kept


def _label(page: Page) -> None:
    if "who" not in st.session_state:
        st.session_state["who"] = _user()
    st.session_state["who"] = st.session_state["who"]  # stays while another panel is shown
    journals = _journals(page)
    if journals is None:
        return
    known = sorted(
        {name for text in page.collection.windows["labels"].astype(str) for name in text.split(",") if name}
    )
    label = st.selectbox(
        say("label_name"),
        known,
        index=None,
        key="label_name",
        accept_new_options=True,
        placeholder=say("label_hint"),
    )
    positions = _meant()
    st.caption(say("label_meant", number=len(positions)))
    is_off = not label or not len(positions)
    yes, no, back = st.columns(3)
    yes.button(
        say("label_yes"),
        key="label_yes",
        type="primary",
        shortcut="y",
        disabled=is_off,
        on_click=_say,
        args=(page, journals, positions, label, True),
        width="stretch",
    )
    no.button(
        say("label_no"),
        key="label_no",
        shortcut="n",
        help=say("label_no_help"),
        disabled=is_off,
        on_click=_say,
        args=(page, journals, positions, label, False),
        width="stretch",
    )
    back.button(say("undo"), key="undo", shortcut="u", on_click=_undo, args=(page, journals), width="stretch")
    if message := st.session_state.get("label_said"):
        st.caption(message)
    if st.session_state.pop("labels_changed", False):
        st.rerun()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _meant() -> Any:
    """The selection, or else the window in focus."""
    chosen, at = selected(), focus()
    return chosen if len(chosen) or at is None else np.array([at])


def _say(page: Page, journals: LabelJournals, positions: Any, label: str, is_present: bool) -> None:
    try:
        count = journals.say(_by_store(page, positions), label, is_present=is_present)
    except ValueError as error:
        st.session_state["label_said"] = str(error)
        return
    key = "label_said_yes" if is_present else "label_said_no"
    st.session_state["label_said"] = say(key, label=label, number=count)
    _refresh(page)


def _by_store(page: Page, positions: Any) -> dict[str, list[str]]:
    """The ids of windows, by the store that they lie in."""
    windows = page.collection.windows.iloc[positions]
    if "store" not in windows:
        return {page.collection.location: windows["id"].tolist()}
    return {str(place): rows["id"].tolist() for place, rows in windows.groupby("store", observed=True)}


def _undo(page: Page, journals: LabelJournals) -> None:
    undone = journals.undo()
    st.session_state["label_said"] = (
        say("nothing_to_undo")
        if undone is None
        else say("undone", label=undone.label, number=undone.num_windows)
    )
    _refresh(page)


def _refresh(page: Page) -> None:
    page.refresh_labels()
    st.session_state["labels_changed"] = True


def _tables(page: Page) -> None:
    with st.expander(say("labels_table"), icon=":material/table:"):
        for location in page.collection.locations:
            name = f" · {Path(location).name}" if len(page.collection.locations) > 1 else ""
            _labels_out(location, name)
            _labels_in(page, location, name)


def _labels_in(page: Page, location: str, name: str) -> None:
    key, taken = f"labels_file_{location}", f"labels_taken_{location}"
    given = st.file_uploader(say("labels_in") + name, type="csv", key=key, help=say("labels_in_help"))
    if given is not None and st.session_state.get(taken) != given.file_id:
        st.session_state[taken] = given.file_id
        _take_in(page, Store.open(location), given.getvalue())


def _labels_out(location: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        try:
            write_labels(Store.open(location), path)
        except ValueError:  # nothing is labelled yet
            return
        content = path.read_bytes()
    key = f"labels_out_{location}"
    st.download_button(
        say("labels_out") + name, content, "labels.csv", key=key, on_click="ignore", width="stretch"
    )


def _take_in(page: Page, store: Store, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(content)
        try:
            count = read_labels_into(store, path, st.session_state["who"] or "labels.csv")
        except ValueError as error:
            st.error(str(error).replace(f"{folder}/", ""))
            return
    st.session_state.pop("journals", None)  # what was taken in is the newest now: it is taken back first
    st.session_state["label_said"] = say("labels_taken", number=count)
    _refresh(page)
    st.rerun()


def _classifier(page: Page, said: pd.DataFrame) -> Taught | None:
    """What was learned from the labels, newest or, while that is under way, the one before."""
    names, table = _targets(page, said)
    if not names:
        st.info(say("teach_first"))
        return None
    left, right = st.columns(2, vertical_alignment="bottom")
    method = left.segmented_control(
        say("method"),
        ["linear", "prototype"],
        format_func=lambda name: say(f"teach_{name}"),
        key="teach_method",
        default="linear",
        required=True,
    )
    precision = right.slider(say("wanted_precision"), 0.5, 0.99, 0.9, 0.01, key="wanted_precision")
    config = TeachConfig(method="prototype" if method == "prototype" else "linear", precision=precision)
    asked: dict[str, Any] = {
        "vectors": page.all_vectors,
        "recordings": page.all_recordings,
        "said": kept_table(table, work_folder()),
        "config": config,
    }
    taught: Taught | None = answer(page, "taught", TeachRequest(**asked)).result
    if taught is None:
        return None
    _quality(taught)
    if st.toggle(say("show_growth"), key="show_growth"):
        _growth(answer(page, "growth", GrowthRequest(**asked)).result)
    _save(page, taught)
    return taught


def _targets(page: Page, said: pd.DataFrame) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Labels, and what is known of the labelled windows, in the order they were labelled."""
    ids = page.collection.windows["id"].tolist()
    names, targets = targets_of(ids, said)
    place_of = {window: i for i, window in enumerate(ids)}
    order = np.array([place_of[w] for w in dict.fromkeys(said["window"]) if w in place_of], int)
    order = order[np.isfinite(targets[order]).any(axis=1)]
    table = pd.DataFrame(targets[order], columns=[f"label {name}" for name in names])
    table.insert(0, "position", order)
    return names, table


def _quality(taught: Taught) -> None:
    rows = [
        {
            say("label_name"): one.label,
            say("num_yes"): one.num_present,
            say("num_no"): one.num_absent,
            say("precision"): one.precision,
            say("at_least"): limit.lowest_precision,
            say("recall"): one.recall,
            say("average_precision"): one.average_precision,
            say("threshold"): limit.value,
        }
        for one, limit in zip(taught.judgements, taught.thresholds, strict=True)
    ]
    st.dataframe(pd.DataFrame(rows).round(2), hide_index=True)
    for note in taught.notes:
        st.caption(note.told(language()))
    missed = [j.label for j, t in zip(taught.judgements, taught.thresholds, strict=True) if not t.is_reached]
    if missed:
        st.caption(say("not_reached", labels=", ".join(missed)))
    st.caption(say("judged_help"))


def _growth(table: pd.DataFrame | None) -> None:
    if table is None:
        return
    figure = go.Figure()
    for name, rows in table.groupby("label"):
        for measure, dash in (("precision", "solid"), ("recall", "dot")):
            figure.add_scatter(
                x=rows["num_labelled"], y=rows[measure], name=f"{name}: {say(measure)}", line={"dash": dash}
            )
    figure.update_layout(height=240, margin=MARGIN, yaxis_range=[0, 1.05], xaxis_title=say("num_labelled"))
    st.plotly_chart(figure, config=CHART, key="growth_chart")


def _save(page: Page, taught: Taught) -> None:
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    name = left.text_input(say("classifier_name"), "classifier", key="classifier_name", max_chars=60)
    stem = "".join(c for c in name if c.isalnum() or c in "-_ ").strip() or "classifier"
    place = Path(page.collection.location)
    path = (place.parent if place.exists() else Path.cwd()) / f"{stem}.safetensors"
    if not right.button(say("classifier_save"), icon=":material/save:", width="stretch"):
        return
    from bioacoustics.workflows.teach import write_taught_classifier  # loads PyTorch

    try:
        with st.spinner(say("saving")):
            write_taught_classifier(
                path,
                page.collection.facts,
                labels=taught.labels,
                weights=taught.weights,
                bias=taught.bias,
                thresholds=[limit.value for limit in taught.thresholds],
                model_path=page.config.checkpoint_path,
            )
    except (ValueError, OSError) as error:
        st.error(str(error))
        return
    st.success(say("classifier_saved", path=path))
    folder = page.config.data_dir or "RECORDINGS"
    flags = f'--model_path "{path}" --data_dir "{folder}" --output "{page.collection.location}"'
    st.code(f"bioacoustics predict {flags}", language="bash", wrap_lines=True)
