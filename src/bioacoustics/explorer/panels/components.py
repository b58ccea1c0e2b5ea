"""Components: the map and the player, as Streamlit mounts them."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

ASSETS = Path(__file__).parents[1] / "assets"


@cache
def _text(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _mounted(name: str) -> Any:
    return st.components.v2.component(
        f"bioacoustics_{name}", html=_text(f"{name}.html"), css=_text(f"{name}.css"), js=_text(f"{name}.js")
    )


def mount(name: str, **arguments: Any) -> Any:
    """Show a component; it must be made known to each server once."""
    return _mounted(name)(**arguments)


def encoded(content: bytes) -> str:
    """Bytes as a component receives them."""
    return base64.b64encode(content).decode("ascii")
