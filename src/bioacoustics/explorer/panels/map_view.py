"""Map view: the points, and what a click or a lasso among them means."""

import base64
import hashlib
import html
from typing import Any

import numpy as np
import streamlit as st

from bioacoustics.explorer.colours import NOTHING, Colouring
from bioacoustics.explorer.panels.components import encoded, mount
from bioacoustics.explorer.panels.session import Page, focus, language, listen_to, say, select, selected
from bioacoustics.explorer.sampling import thinned

MAX_POINTS = 150_000  # more do not fit on a screen, and a browser without a graphics card grows slow
MAX_NAMES = 24
HEIGHT = 540


def map_view(page: Page) -> None:
    """Draw the newest map there is."""
    fitted = page.map.result
    if fitted is None or page.colouring is None or page.passes is None:
        if page.map.state == "failed":
            st.error(say("map_failed", reason=page.map.error))
        else:
            st.info(say("first_map"), icon=":material/hourglass_top:")
        return
    drawing = _drawing(fitted)
    if len(drawing["rows"]) < 2:
        st.info(say("too_few_for_map", number=page.num_windows))
    st.session_state["map_rows"] = drawing["rows"]
    mount(
        "map",
        key="map",
        data=_data(page, drawing, page.colouring),
        height=HEIGHT,
        on_picked_change=_picked,
        on_enclosed_change=_enclosed,
    )
    _legend(page, page.colouring)
    if drawing["num_not_drawn"]:
        st.caption(
            say("thinned", shown=len(drawing["rows"]), number=page.num_windows, left=drawing["num_not_drawn"])
        )
    if page.is_novel.any():
        st.caption(say("novel_marked"))
    for note in fitted.notes:
        st.caption(note.told(language()))


def _drawing(fitted: Any) -> dict[str, Any]:
    """What of a map is drawn, ready to be sent; kept, since colours change more often than places."""
    known = st.session_state.get("drawing")
    if known is not None and known["map"] is fitted:
        return dict(known)
    places = np.asarray(fitted.coordinates, np.float32)
    chosen = thinned(places, MAX_POINTS)
    places = places[chosen.positions]
    raw = _scaled(places).astype("<u2").tobytes()
    drawing = {
        "map": fitted,
        "rows": np.asarray(chosen.positions),
        "num_not_drawn": chosen.num_not_drawn,
        "points": encoded(raw),
        "places": places,
        "dims": places.shape[1],
        "version": hashlib.sha256(raw).hexdigest()[:16],
        "points_of": hashlib.sha256(np.asarray(chosen.positions).tobytes()).hexdigest()[:16],
    }
    st.session_state["drawing"] = drawing
    return drawing


def _scaled(places: np.ndarray) -> np.ndarray:
    """Places in the middle of a cube of 65536 steps, with one scale for all axes."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    scale = float((high - low).max()) or 1.0
    scaled: np.ndarray = np.round(((places - (low + high) / 2) / scale + 0.5) * 65535)
    return scaled


def _data(page: Page, drawing: dict[str, Any], colouring: Colouring) -> dict[str, Any]:
    rows = drawing["rows"]
    is_selected = np.zeros(page.num_windows, np.uint8)
    is_selected[selected()] = 2
    assert page.passes is not None
    flags = (page.passes.astype(np.uint8) | is_selected | page.is_novel.astype(np.uint8) << 2)[rows]
    codes = colouring.codes[rows]
    st.session_state["map_serial"] = st.session_state.get("map_serial", 0) + 1
    return {
        **{name: drawing[name] for name in ("version", "points_of", "points", "dims")},
        "codes": encoded(codes.tobytes()),
        "flags": encoded(flags.tobytes()),
        "palette": colouring.palette,
        "code_names": _code_names(colouring),
        "names_at": _names_at(drawing["places"], codes, flags, colouring) if _has_names() else [],
        "focus": _index(rows, focus()),
        "rings": [i for i in (_index(rows, p) for p in st.session_state.get("rings", ())) if i >= 0],
        "trail": [i for i in (_index(rows, p) for p in st.session_state.get("trail", ())) if i >= 0],
        "height": HEIGHT,
        "serial": st.session_state["map_serial"],
        "texts": {
            name: say(f"tool_{name}") for name in ("lasso", "box", "pan", "turn", "reset", "clear", "unable")
        },
    }


def _has_names() -> bool:
    return st.session_state.get("colour") in {"cluster", "label", "predicted", "site", "season"}


def _code_names(colouring: Colouring) -> list[str]:
    if colouring.limits is None:
        return list(colouring.names)
    low, high = colouring.limits
    values = np.linspace(low, high, NOTHING)
    return [*(f"{value:.3g}" for value in values), "–"]


def _names_at(places: Any, codes: Any, flags: Any, colouring: Colouring) -> list[tuple[str, int]]:
    """The name of each kind with the point nearest to the middle of its own."""
    found = []
    for code, name in enumerate(colouring.names[:MAX_NAMES]):
        members = np.flatnonzero((codes == code) & (flags & 1 == 1))
        if name and len(members) >= 3:
            middle = np.median(places[members], axis=0)
            nearest = members[np.square(places[members] - middle).sum(axis=1).argmin()]
            found.append((name, int(nearest)))
    return found


def _index(rows: np.ndarray, position: int | None) -> int:
    if position is None:
        return -1
    at = int(np.searchsorted(rows, position))
    return at if at < len(rows) and rows[at] == position else -1


def _picked() -> None:
    event = st.session_state["map"].get("picked")
    rows = st.session_state["map_rows"]
    if event and 0 <= int(event["index"]) < len(rows):
        listen_to(int(rows[int(event["index"])]))


def _enclosed() -> None:
    event = st.session_state["map"].get("enclosed")
    rows = st.session_state["map_rows"]
    if not event:
        return
    if not event["bits"]:
        select([])
        return
    inside = np.unpackbits(np.frombuffer(base64.b64decode(event["bits"]), np.uint8), bitorder="little")[
        : len(rows)
    ]
    select(rows[np.flatnonzero(inside)], how=event["how"])


def _legend(page: Page, colouring: Colouring) -> None:
    if colouring.limits is not None:
        low, high = colouring.limits
        stops = ", ".join(colouring.palette[:NOTHING:16])
        st.html(
            f'<div class="legend"><span>{low:.3g}</span>'
            f'<i class="scale" style="background:linear-gradient(90deg,{stops})"></i>'
            f"<span>{high:.3g}</span></div>"
        )
        return
    parts = [
        f'<span><i style="background:{colouring.palette[code]}"></i>{html.escape(name)} <em>{size}</em>'
        "</span>"
        for code, (name, size) in enumerate(zip(colouring.names, colouring.sizes, strict=False))
    ]
    st.html(f'<div class="legend">{"".join(parts[:30])}</div>')
