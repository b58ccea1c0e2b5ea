"""In a real browser: a new season on the map of the old one, and a recording seen as a whole."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the files beside this one
sys.path.insert(0, str(Path(__file__).parent / "browser"))
from later_store import NUM_NOVEL, NUM_WINDOWS, make_later
from small_store import WINDOW_S, make_store
from test_page import wait
from visitor import CHROMIUM, FLAGS, PATIENCE_S, Served, Visitor, is_strange, serve, settle

from bioacoustics.explorer.opening import OpeningConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]
NUM_KNOWN = 60


@pytest.fixture(scope="module")
def heard() -> list[str]:
    """What the browser complained about, and whom else it asked."""
    return []


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, heard: list[str]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("temporadas")
    store = make_store(folder)
    make_later(folder)
    config = OpeningConfig(store=store, language="es", browser=False)
    with serve(config, folder / "cache") as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda asked: heard.append(asked.url) if is_strange(asked.url) else None)
        page.goto(served.address)
        yield page
        browser.close()


def choose(page: Any, name: str) -> None:
    """Press one of several buttons of which one is pressed."""
    settle(page)
    page.get_by_role("radio", name=name).or_(page.get_by_role("button", name=name)).first.click()


def test_a_season_comes_to_the_map_and_what_is_new_has_a_ring(page: Any) -> None:
    wait(page, ".map", "data-count", str(NUM_KNOWN))
    version = page.locator(".map").get_attribute("data-version")
    choose(page, "Nueva temporada")
    settle(page)
    visitor = Visitor(page, Served(page.url, Path()))
    visitor.pick("Ventanas que llegan a este mapa", "later.lance")
    wait(page, ".map", "data-count", str(NUM_KNOWN + NUM_WINDOWS))
    wait(page, ".map", "data-novel", str(NUM_NOVEL))
    assert page.locator(".map").get_attribute("data-version") != version
    page.get_by_text(f"{NUM_WINDOWS} ventanas colocadas en el mapa; {NUM_NOVEL} de ellas").wait_for()
    for name in ("season", "later"):
        page.locator(".legend").get_by_text(name).first.wait_for()


def test_new_windows_are_selected_and_heard(page: Any) -> None:
    settle(page)
    page.get_by_role("button", name="Seleccionar las nuevas").click()
    wait(page, ".map", "data-selected", str(NUM_NOVEL))
    card = page.locator(".st-key-panel_body .strip figure").first
    card.locator("figcaption").click()
    wait(page, ".player", "data-window", lambda name: name.startswith("r8-"))
    wait(page, ".player", "data-duration", lambda text: abs(float(text) - WINDOW_S) < 1e-3)


def test_a_click_in_a_recording_shows_the_window_there_and_a_drag_looks_closer(page: Any) -> None:
    choose(page, "Patrones en el tiempo")
    choose(page, "Una grabación")
    wait(page, ".timeline", "data-picture", "there")
    sky = page.locator(".timeline .sky")
    sky.scroll_into_view_if_needed()
    box = sky.bounding_box()
    # A recording has ten windows: the fourth lies at a third of it.
    page.mouse.click(box["x"] + 0.35 * box["width"], box["y"] + 50)
    wait(page, ".player", "data-window", "r8-3")
    wait(page, ".timeline", "data-focus", str(NUM_KNOWN + 13))
    settle(page)
    box = sky.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()
    wait(page, ".timeline", "data-start", lambda text: abs(float(text) - 10) < 0.2)
    wait(page, ".timeline", "data-end", lambda text: abs(float(text) - 14) < 0.2)
    wait(page, ".timeline", "data-picture", "there")
    settle(page)  # a page that is being redrawn holds the old button beside the new one
    page.get_by_role("button", name="Grabación completa").click()
    wait(page, ".timeline", "data-start", "0")


def test_nobody_else_was_asked_and_nothing_was_wrong(page: Any, heard: list[str]) -> None:
    assert heard == []
