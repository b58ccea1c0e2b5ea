"""How long does a visitor wait? A real browser on the explorer, with stores of made windows.

python benchmarks/explorer.py [--windows 50000] [--chromium /usr/bin/chromium]

Prints one table and writes explorer.json: seconds from an action until the browser shows what it did (the
fastest and slowest of three), the windows drawn, and the memory of the server with the processes that compute
for it. The first visit computes its map; the second finds it kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import soundfile
from playwright.sync_api import sync_playwright

from bioacoustics.explorer.opening import CACHE_VARIABLE, OpeningConfig
from bioacoustics.explorer.server import command, free_port
from bioacoustics.store.database import Store
from bioacoustics.store.schema import RECORDINGS, windows_schema

DIM, WINDOW_S, RATE_HZ, PER_RECORDING, ROUNDS = 192, 3.0, 16000, 500, 3
PATIENCE_S = 60.0
RECORDINGS_AT_ONCE = 100  # that are written into the store in one go
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
COLOURS, SITES = ("hour of the day", "recording", "site"), ("site 1", "site 2", "site 3")
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]


def make_store(folder: Path, num_windows: int) -> Path:
    """Windows of 30 kinds of noise, recorded one after the other at eight sites.

    All recordings are the same file under names of their own.
    """
    rng = np.random.default_rng(0)
    sound = folder / "sound.wav"
    soundfile.write(sound, rng.normal(0, 0.1, round(PER_RECORDING * WINDOW_S * RATE_HZ)), RATE_HZ)
    store = Store.create(folder / "made.lance")
    store.make_windows(DIM)
    store.state("embed", {"command": "embed", "model": "m", "front_end": {}, "model_path": ""})
    kinds = rng.normal(size=(30, DIM)) * 1.5
    begins = [
        FIRST + i * timedelta(seconds=PER_RECORDING * WINDOW_S)
        for i in range(-(-num_windows // PER_RECORDING))
    ]
    recordings = [_recording(number, begin, sound) for number, begin in enumerate(begins)]
    store.upsert("recordings", pa.Table.from_pylist(recordings, RECORDINGS))
    for first in range(0, len(begins), RECORDINGS_AT_ONCE):
        rows: list[dict[str, Any]] = []
        for number in range(first, min(first + RECORDINGS_AT_ONCE, len(begins))):
            size = min(PER_RECORDING, num_windows - number * PER_RECORDING)
            vectors = (kinds[rng.integers(0, 30, size)] + rng.normal(size=(size, DIM))).astype(np.float16)
            rows += [_window(number, begins[number], i, vector) for i, vector in enumerate(vectors)]
        store.table("windows").add(pa.Table.from_pylist(rows, windows_schema(DIM)))
    store.compact()
    return folder / "made.lance"


def _recording(number: int, begins: datetime, sound: Path) -> dict[str, Any]:
    return {
        "id": f"r{number}",
        "file": f"card/r{number}.wav",
        "path": str(sound),
        "site": f"site {number % 8}",
        "start_time": begins.isoformat(),
        "duration_s": PER_RECORDING * WINDOW_S,
        "sample_rate_hz": RATE_HZ,
        "num_channels": 1,
        "audio": "a",
    }


def _window(number: int, begins: datetime, index: int, vector: np.ndarray) -> dict[str, Any]:
    at = begins + index * timedelta(seconds=WINDOW_S)
    return {
        "id": f"r{number}-{index}",
        "recording": f"r{number}",
        "file": f"card/r{number}.wav",
        "site": f"site {number % 8}",
        "channel": "mix",
        "start_s": index * WINDOW_S,
        "end_s": (index + 1) * WINDOW_S,
        "start_time": at.isoformat(),
        "time_source": "header",
        "start_utc": at,
        "second_of_day": at.hour * 3600 + at.minute * 60 + at.second,
        "findings": "",
        "model": "m",
        "front_end": "f",
        "audio": "a",
        "vector": vector,
    }


def timed(page: Any, act: Any, is_seen: str) -> float:
    """Seconds from an action until an expression about the map or the player is true."""
    began = time.monotonic()
    act()
    page.wait_for_function(is_seen, timeout=PATIENCE_S * 1000, polling=20)
    return time.monotonic() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=50_000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--settle_s", type=float, default=240.0, help="time for the first map to be computed")
    parser.add_argument("--output", type=Path, default=Path("explorer.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        store = make_store(folder, arguments.windows)
        (folder / "cache" / "explorer").mkdir(parents=True)
        (folder / "cache" / "explorer" / "tour_seen").touch()
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        result: dict[str, float] = {"windows": arguments.windows}
        for visit in ("first", "cached"):
            seen = _visit(browser, store, folder / "cache", arguments.settle_s)
            result |= {f"{visit} visit: {key}": value for key, value in seen.items()}
        browser.close()
    for key, value in result.items():
        print(f"| {key} | {value:.2f} |")
    arguments.output.write_text(json.dumps(result, indent=1))


def _visit(browser: Any, store: Path, cache: Path, settle_s: float) -> dict[str, float]:
    port = free_port(18800)
    server = subprocess.Popen(
        command(OpeningConfig(store=store, language="en", browser=False), port),
        env=os.environ | {CACHE_VARIABLE: str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(300_000)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        found = _look(page, f"http://127.0.0.1:{port}", settle_s)
        process = psutil.Process(server.pid)
        found["page's process GB"] = process.memory_info().rss / 1e9
        found["workers GB"] = sum(child.memory_info().rss for child in process.children(recursive=True)) / 1e9
        return found
    finally:
        page.close()
        server.terminate()
        server.wait()


def _look(page: Any, address: str, settle_s: float) -> dict[str, float]:
    began = time.monotonic()
    page.goto(address)
    page.locator(".map[data-count]").wait_for()
    found = {"map s": time.monotonic() - began}
    found["points drawn"] = float(page.locator(".map").get_attribute("data-count") or 0)
    until = time.monotonic() + settle_s
    while page.locator("[data-testid=stProgress]").count() and time.monotonic() < until:
        page.wait_for_timeout(500)
    page.wait_for_timeout(3000)
    # The map and the player live in shadow trees, which selectors of scripts do not enter by themselves.
    locate = (
        "s => { for (const host of document.querySelectorAll('*')) {"
        " const found = (host.shadowRoot ?? host).querySelector?.(s); if (found) return found; } }"
    )
    page.evaluate(f"window.seek = {locate}")
    page.get_by_text("More filters", exact=True).click()
    for kind in ("click to sound", "lasso", "colour", "site filter", "search"):
        times = [_once(page, kind, attempt) for attempt in range(ROUNDS)]
        found |= {f"{kind} s, fastest": min(times), f"{kind} s, slowest": max(times)}
    return found


def _once(page: Any, kind: str, attempt: int) -> float:
    box = page.locator(".map .overlay").bounding_box()
    serial = page.locator(".map").get_attribute("data-serial")
    if kind == "click to sound":
        x, y = page.locator(".map").evaluate(
            f"root => root.pointMap.screen({101 + 977 * attempt}, root.pointMap.matrix())"
        )
        old = page.evaluate("window.seek('.player')?.dataset.window ?? ''")
        is_new = f"() => {{ const p = window.seek('.player'); return p && p.dataset.window !== {old!r}; }}"
        return timed(page, lambda: page.mouse.click(box["x"] + x, box["y"] + y), is_new)
    if kind == "lasso":
        page.mouse.move(box["x"] + 20, box["y"] + 60)
        page.mouse.down()
        for dx, dy in ((300 + 40 * attempt, 60), (300, 480), (20, 480)):
            page.mouse.move(box["x"] + dx, box["y"] + dy, steps=3)
        return timed(page, page.mouse.up, f"() => window.seek('.map').dataset.serial !== {serial!r}")
    if kind in {"colour", "site filter"}:
        title, choices = ("Colour", COLOURS) if kind == "colour" else ("site", SITES)
        wanted = page.get_by_role("option", name=choices[attempt], exact=True)
        box = page.get_by_role("combobox", name=title).first
        until = time.monotonic() + PATIENCE_S
        while not wanted.count():  # a list closes again when the page is drawn under it
            if time.monotonic() > until:
                raise TimeoutError(f"the list {title!r} never offers {choices[attempt]!r}")
            box.press("Escape")
            box.press("ArrowDown")
            page.wait_for_timeout(300)
        return timed(page, wanted.click, f"() => window.seek('.map').dataset.serial !== {serial!r}")
    page.get_by_placeholder("file, label").fill(f"r{attempt + 1}")
    return timed(
        page, lambda: page.keyboard.press("Enter"), f"() => window.seek('.map').dataset.serial !== {serial!r}"
    )


if __name__ == "__main__":
    sys.exit(main())
