"""Screenshots: make the pictures of docs/explorer.md, from a store, in a real browser.

python scripts/screenshots.py STORE [--season NEIGHBOUR] [--recording NAME] [--chromium /usr/bin/chromium]
"""

import argparse
import io
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from bioacoustics.explorer.opening import CACHE_VARIABLE, OpeningConfig
from bioacoustics.explorer.server import command, free_port
from bioacoustics.explorer.words import Language, word

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZES = {"wide": (1440, 900), "small": (1024, 768)}
SEASON_HEIGHT = 1240  # the map and the panel below it
COLOURS = 256  # of a PNG: the eye sees no difference, and the repository stays small
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]


def main() -> None:
    """Serve the store, look at it and keep what is seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--season", default="", help="name of a store beside it, to be placed on its map")
    parser.add_argument("--recording", default="", help="part of the name of one to be seen as a whole")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--settle_s", type=float, default=60.0, help="time for the first map to be computed")
    arguments = parser.parse_args()
    languages: tuple[Language, ...] = ("en", "es")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        seen = Path(folder) / "explorer" / "tour_seen"
        seen.parent.mkdir(parents=True)
        seen.touch()
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=FLAGS)
        for language in languages:
            port = free_port(18700)
            config = OpeningConfig(store=arguments.store, language=language, browser=False)
            server = subprocess.Popen(
                command(config, port),
                env=os.environ | {CACHE_VARIABLE: folder},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                _wait_for(f"http://127.0.0.1:{port}/_stcore/health")
                for name, (width, height) in SIZES.items():
                    page = browser.new_page(viewport={"width": width, "height": height})
                    page.set_default_timeout(120_000)
                    page.goto(f"http://127.0.0.1:{port}")
                    _visit(page, arguments.settle_s, f"{name}.{language}")
                    if arguments.recording:
                        _see_whole(page, arguments.recording, language, name)
                    if arguments.season:
                        _come(page, arguments.season, language, name)
                    page.close()
            finally:
                server.terminate()
                server.wait()
        browser.close()


def _visit(page: Any, settle_s: float, name: str) -> None:
    page.locator(".map[data-count]").wait_for()
    _settle(page, settle_s)
    spot = page.locator(".map").evaluate(
        """root => { const m = root.pointMap, view = m.matrix(), n = m.codes.length, pad = m.overlay;
             const [x, y] = m.screen(Math.floor(n / 3), view); return [x, y]; }"""
    )
    box = page.locator(".map .overlay").bounding_box()
    page.mouse.click(box["x"] + spot[0], box["y"] + spot[1])
    page.locator(".player[data-window]").wait_for()
    page.wait_for_timeout(2500)
    page.mouse.move(5, 5)
    _keep(page.screenshot(), f"explorer-{name}.png")
    page.locator(".st-key-panel_body").scroll_into_view_if_needed()
    page.locator(".strip").last.locator("figure").first.wait_for()
    page.wait_for_timeout(2000)
    _keep(page.screenshot(), f"explorer-clusters-{name}.png")


def _see_whole(page: Any, recording: str, language: Language, size: str) -> None:
    """One recording from its beginning to its end."""
    _press(page, word("panel_patterns", language))
    _press(page, word("patterns_recording", language))
    _choose(page, word("recording", language), recording)
    page.locator(".timeline[data-picture=there]").wait_for()
    _settle(page)
    page.locator(".st-key-panel_body").evaluate("box => box.scrollIntoView()")
    _keep(page.screenshot(), f"explorer-recording-{size}.{language}.png")


def _come(page: Any, season: str, language: Language, size: str) -> None:
    """Another season on the map of the first."""
    _press(page, word("panel_season", language))
    _choose(page, word("season_choose", language), season)
    page.locator(".st-key-panel_body .strip figure").first.wait_for()
    _settle(page)
    page.locator(".map").evaluate("box => box.scrollIntoView()")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": SEASON_HEIGHT})
    _settle(page)
    _keep(page.screenshot(), f"explorer-season-{size}.{language}.png")


def _press(page: Any, name: str) -> None:
    page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name)).first.click()
    _settle(page)


def _choose(page: Any, title: str, name: str) -> None:
    """Write into a box with a list, and take the first that is offered then."""
    page.get_by_label(title, exact=True).click()
    page.keyboard.type(name)
    page.get_by_role("option").first.click()
    _settle(page)


def _settle(page: Any, longest_s: float = 60.0) -> None:
    """Wait until nothing is computed behind the page."""
    page.wait_for_timeout(1500)
    until = time.monotonic() + longest_s
    while page.locator("[data-testid=stProgress]").count() and time.monotonic() < until:
        page.wait_for_timeout(500)
    page.wait_for_timeout(1500)


def _keep(content: bytes, name: str) -> None:
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    # The common greys must not take the places of the few points that have a colour of their own.
    picture = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.save(PICTURES / name, optimize=True)
    print(PICTURES / name, (PICTURES / name).stat().st_size)


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"nobody answers at {address}")


if __name__ == "__main__":
    main()
