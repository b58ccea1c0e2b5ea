"""Listen and see: the window in focus, its neighbours in time, and the windows that are most like it."""

import hashlib
import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from bioacoustics.audio.recordings import UnreadableAudioError
from bioacoustics.explorer.panels.components import encoded, mount
from bioacoustics.explorer.panels.session import Page, focus, listen_to, say, select
from bioacoustics.explorer.similar import most_similar
from bioacoustics.explorer.sounds import Cut, NotOpenedError, flac_of
from bioacoustics.explorer.spectrograms import PRESETS, SpectrogramConfig, band_khz, picture

PICTURE_HEIGHT = 250
NUM_SIMILAR = 8
CARD_SIZE = (220, 72)


@st.fragment
def listen(page: Page) -> None:
    """The player with the settings of its picture."""
    position = focus()
    if position is None:
        st.html(
            f'<div class="quiet"><b>{say("nothing_in_focus")}</b><p>{say("nothing_in_focus_help")}</p></div>'
        )
        return
    config: SpectrogramConfig = st.session_state["spectrogram"]
    _headline(page, position)
    try:
        cut = page.sounds.cut(position, context_s=config.context * _length(page, position))
        mount(
            "player", key="player", data=_player_data(page, position, cut, config), on_step_change=_step(page)
        )
    except (UnreadableAudioError, NotOpenedError, ValueError, OSError) as error:
        st.warning(say("no_sound", reason=reason_of(error)), icon=":material/volume_off:")
        _steps_without_sound(page, position)
    _settings(config)


def reason_of(error: Exception) -> str:
    """What a person should know about an error."""
    return error.reason if isinstance(error, UnreadableAudioError) else str(error)


def _length(page: Page, position: int) -> float:
    row = page.collection.windows.iloc[position]
    return float(row["end_s"] - row["start_s"])


def _digits(page: Page, position: int) -> int:
    """So many behind the point that windows of ultrasound, which are short, can be told apart."""
    return 1 if _length(page, position) >= 1 else 3


def _headline(page: Page, position: int) -> None:
    row = page.collection.windows.iloc[position]
    known = row["local_time"]
    when = "" if pd.isna(known) else f"{known:%Y-%m-%d %H:%M:%S}"
    digits = _digits(page, position)
    span = f"{row['start_s']:.{digits}f}–{row['end_s']:.{digits}f} s"
    facts = (str(row["site"]), when, span, str(row["findings"]))
    badges = [f"<mark>{html.escape(label)}</mark>" for label in str(row["labels"]).split(",") if label]
    if row["predicted"]:
        badges.append(
            f"<mark class='said'>{html.escape(str(row['predicted']))} {row['probability']:.2f}</mark>"
        )
    file = html.escape(str(row["file"]))
    st.html(
        f'<div class="headline"><b title="{file}">{file}</b>'
        f"<span>{html.escape(' · '.join(fact for fact in facts if fact))} {' '.join(badges)}</span></div>"
    )


def _player_data(page: Page, position: int, cut: Cut, config: SpectrogramConfig) -> dict[str, Any]:
    row = page.collection.windows.iloc[position]
    inner = cut.between(float(row["start_s"]), float(row["end_s"]))
    low, high = band_khz(config, cut.sample_rate_hz)
    earlier, later = neighbours(page.collection.windows, position)
    return {
        "picture": encoded(picture(cut, config)),
        "sound": encoded(flac_of(inner, config.slowdown, is_evened=config.is_evened)),
        "sound_id": f"{position}/{config.slowdown}/{config.is_evened}",
        "window": str(row["id"]),
        "start_s": cut.start_s,
        "end_s": max(cut.end_s, cut.start_s + 1e-3),
        "window_start_s": inner.start_s,
        "window_end_s": inner.end_s,
        "low_khz": low,
        "high_khz": high,
        "slowdown": config.slowdown,
        "height": PICTURE_HEIGHT,
        "has_earlier": earlier is not None,
        "has_later": later is not None,
        "plays": bool(st.session_state.get("plays_at_once")),
        "texts": {
            **{name: say(f"player_{name}") for name in ("picture", "back", "play", "on", "slower", "hint")}
        },
    }


def neighbours(windows: pd.DataFrame, position: int) -> tuple[int | None, int | None]:
    """The windows before and behind in the same recording and channel."""
    row = windows.iloc[position]
    is_same = (windows["recording"] == row["recording"]) & (windows["channel"] == row["channel"])
    members = np.flatnonzero(is_same.to_numpy())
    members = members[np.argsort(windows["start_s"].to_numpy()[members], kind="stable")]
    at = int(np.flatnonzero(members == position)[0])
    earlier = int(members[at - 1]) if at > 0 else None
    later = int(members[at + 1]) if at + 1 < len(members) else None
    return earlier, later


def _step(page: Page) -> Any:
    def step() -> None:
        event = st.session_state["player"].get("step")
        position = focus()
        if event and position is not None:
            _go(page, position, int(event["by"]))

    return step


def _go(page: Page, position: int, by: int) -> None:
    earlier, later = neighbours(page.collection.windows, position)
    target = earlier if by < 0 else later
    if target is not None:
        listen_to(target)
        st.session_state["moved"] = True


def _steps_without_sound(page: Page, position: int) -> None:
    left, right, _ = st.columns([1, 1, 4])
    left.button("‹", key="back_silent", help=say("player_back"), on_click=_go, args=(page, position, -1))
    right.button("›", key="on_silent", help=say("player_on"), on_click=_go, args=(page, position, 1))


def _settings(config: SpectrogramConfig) -> None:
    preset = st.pills(
        say("preset"),
        list(PRESETS),
        format_func=lambda name: say(f"preset_{name}"),
        key="preset",
        default=config.preset,
        label_visibility="collapsed",
    )
    if preset and preset != config.preset:
        _take(PRESETS[preset])
    with st.expander(say("picture_settings"), icon=":material/tune:"):
        _fine_settings(st.session_state["spectrogram"])


def _take(config: SpectrogramConfig) -> None:
    st.session_state["spectrogram"] = config
    # The browser may still report the old controls: those that begin at this preset have names of their own.
    st.session_state["preset_number"] = st.session_state.get("preset_number", 0) + 1
    st.rerun(scope="fragment")


def _fine_settings(config: SpectrogramConfig) -> None:
    left, right = st.columns(2)
    number = st.session_state.get("preset_number", 0)
    top = max(24.0, config.high_khz or 24.0, 125.0 if config.preset == "bats" else 0.0)
    band = left.slider(
        say("band"),
        0.0,
        top,
        (config.low_khz, config.high_khz or top),
        0.1,
        key=f"s_band_{number}",
        format="%.1f kHz",
    )
    range_db = right.slider(
        say("range_db"), 10, 120, int(config.range_db), key=f"s_range_{number}", format="%d dB"
    )
    window_ms = left.select_slider(
        say("window_ms"),
        _with(WINDOWS_MS, config.window_ms),
        config.window_ms,
        key=f"s_window_{number}",
        help=say("window_ms_help"),
    )
    context = right.slider(
        say("context"), 0.0, 3.0, config.context, 0.1, key=f"s_context_{number}", help=say("context_help")
    )
    colour_map = left.selectbox(
        say("colour_map"), COLOUR_MAPS, COLOUR_MAPS.index(config.colour_map), key=f"s_colours_{number}"
    )
    slowdown = right.select_slider(
        say("slowdown"),
        _with(SLOWDOWNS, config.slowdown),
        config.slowdown,
        key=f"s_slow_{number}",
        format_func=lambda k: f"{k:g}×",
    )
    is_evened = left.toggle(say("evened"), config.is_evened, key=f"s_even_{number}", help=say("evened_help"))
    right.toggle(say("plays_at_once"), key="plays_at_once")
    wanted = SpectrogramConfig(
        preset=config.preset,
        low_khz=band[0],
        high_khz=None if band[1] >= top and config.high_khz is None else max(band[1], band[0] + 0.1),
        range_db=range_db,
        window_ms=window_ms,
        colour_map=colour_map,
        slowdown=slowdown,
        context=context,
        is_evened=is_evened,
    )
    if wanted != config:
        st.session_state["spectrogram"] = wanted
        st.rerun(scope="fragment")


WINDOWS_MS = (1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 16.0, 24.0, 32.0, 48.0, 64.0)
SLOWDOWNS = (1.0, 2.0, 4.0, 8.0, 10.0, 16.0, 20.0)
COLOUR_MAPS = ("magma", "viridis", "cividis", "inferno", "gray_r")


def _with(values: tuple[float, ...], value: float) -> list[float]:
    return sorted({*values, value})


@st.fragment
def similar(page: Page) -> None:
    """The windows most like the one in focus, each with its player."""
    position = focus()
    if position is None:
        return
    st.markdown(f"##### {say('similar')}")
    found = most_similar(page.collection, position, NUM_SIMILAR)
    st.session_state["rings"] = [int(at) for at, _ in found]
    names = [say("similarity", value=f"{score:.2f}") for _, score in found]
    strip(page, "similar", [at for at, _ in found], names)
    if st.button(say("select_similar"), key="select_similar", icon=":material/select_all:"):
        select([position, *(at for at, _ in found)])
        st.rerun()


def strip(page: Page, key: str, positions: Any, notes: Any = ()) -> None:
    """Small players in a row; a click on a name puts that window in focus."""
    config = st.session_state["spectrogram"]
    notes = list(notes) or [""] * len(positions)
    items = [_card(page, int(at), note, config) for at, note in zip(positions, notes, strict=True)]
    digest = hashlib.sha256(repr((list(map(int, positions)), notes, config, focus(), say("play"))).encode())

    def picked() -> None:
        event = st.session_state[f"strip_{key}"].get("picked")
        if event and 0 <= int(event["position"]) < page.num_windows:
            listen_to(int(event["position"]))
            st.session_state["moved"] = True

    mount(
        "strip",
        key=f"strip_{key}",
        data={"items": items, "play": say("play"), "strip_id": digest.hexdigest()[:16]},
        on_picked_change=picked,
    )
    if st.session_state.pop("moved", False):
        st.rerun()


def _card(page: Page, position: int, note: str, config: SpectrogramConfig) -> dict[str, Any]:
    row = page.collection.windows.iloc[position]
    item = {
        "position": position,
        "is_focus": position == focus(),
        "title": str(row["file"]).rsplit("/", 1)[-1],
        "note": f"{row['start_s']:.{_digits(page, position)}f} s" + (f" · {note}" if note else ""),
    }
    try:
        cut = page.sounds.cut(position)
        sound = flac_of(cut, config.slowdown, is_evened=config.is_evened)
        seen = picture(cut, config, columns=CARD_SIZE[0], rows=CARD_SIZE[1])
    except (UnreadableAudioError, NotOpenedError, ValueError, OSError) as error:
        return item | {"problem": reason_of(error), "picture": "", "sound": ""}
    return item | {"picture": encoded(seen), "sound": encoded(sound)}
