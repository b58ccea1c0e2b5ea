"""Server: start the page on this machine alone, and end it with the command that started it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from bioacoustics.explorer.opening import OpeningConfig

LOOPBACK = "127.0.0.1"
SCRIPT = Path(__file__).parents[1] / "cli" / "explore.py"
PORTS_TRIED = 50
# `beats/.streamlit/config.toml` says the same to those who start the page through Streamlit themselves.
SETTINGS: dict[str, object] = {
    "server.address": LOOPBACK,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": 20,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "theme.base": "light",
    "theme.primaryColor": "#1f6f78",
    "theme.backgroundColor": "#ffffff",
    "theme.secondaryBackgroundColor": "#f3f6f7",
    "theme.textColor": "#22303c",
    "theme.borderColor": "#dfe5e8",
    "theme.baseRadius": "0.6rem",
    "theme.showWidgetBorder": True,
}


def explore(config: OpeningConfig, console: Console) -> int:
    """Look at, listen to and label what a model has learned, on a page in your browser.

    Opens a store, or embeds recordings first. The page is served to this machine alone and asks nothing of
    any other. Ctrl-C ends it.

    Returns:
        The exit code of the page's process.

    Raises:
        ValueError: Streamlit is not installed.
    """
    check_installed()
    port = free_port(config.port)
    process = subprocess.Popen(
        command(config, port), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ
    )
    console.print(
        f"the page is at http://{LOOPBACK}:{port} (Ctrl-C ends it)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        return 0


def check_installed() -> None:
    """Say how to get what the page needs.

    Raises:
        ValueError: it is not there.
    """
    try:
        import plotly  # noqa: F401
        import streamlit  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"the explorer needs {error.name}, which is not installed: pip install "
            "'bioacoustics[explore]', or "
            "pip install -e '.[explore]' in a clone"
        ) from error


def command(config: OpeningConfig, port: int) -> list[str]:
    """What starts the page."""
    settings = {**SETTINGS, "server.port": port, "server.headless": not config.browser}
    flags = [f"--{name}={_text(value)}" for name, value in settings.items()]
    return [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *flags, "--", *config.words()]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def free_port(first: int) -> int:
    """The first port from `first` on that nobody uses.

    Raises:
        ValueError: there is none near it.
    """
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ValueError(f"--port {first}: it and the next {PORTS_TRIED} are in use; choose another")
