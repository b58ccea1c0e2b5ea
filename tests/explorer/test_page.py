"""The page in a real browser: what a visitor does, with the mouse and the keyboard."""

import csv
import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent))  # for the files beside this one
sys.path.insert(0, str(Path(__file__).parent / "browser"))
from small_store import WINDOW_S, make_store
from visitor import CHROMIUM, FLAGS, PATIENCE_S, WHOLE, is_strange, serve, settle

from bioacoustics.explorer.opening import OpeningConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]
NUM_WINDOWS = 60


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    config = OpeningConfig(store=make_store(folder), language="en", browser=False)
    with serve(config, folder / "cache", toured=False) as served:
        yield served.address


@pytest.fixture(scope="module")
def heard() -> dict[str, list[str]]:
    """What the browser complained about, and whom it asked."""
    return {"complaints": [], "strangers": []}


@pytest.fixture(scope="module")
def page(address: str, heard: dict[str, list[str]]) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on(
            "console",
            lambda message: heard["complaints"].append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: heard["complaints"].append(str(error)))
        page.on(
            "request",
            lambda request: heard["strangers"].append(request.url) if is_strange(request.url) else None,
        )
        page.goto(address)
        yield page
        browser.close()


def wait(page: Any, selector: str, name: str, wanted: Any) -> str:
    """Wait until an attribute of an element is as wanted (a text, or a function)."""
    is_right = wanted if callable(wanted) else lambda value: value == wanted
    until, value = time.monotonic() + PATIENCE_S, None
    while time.monotonic() < until:
        value = page.locator(selector).first.get_attribute(name)
        if value is not None and is_right(value):
            return str(value)
        page.wait_for_timeout(50)
    raise AssertionError(f"{selector} {name} is {value!r}")


def place_on_map(page: Any, x: float, y: float) -> tuple[float, float]:
    box = page.locator(".map .overlay").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def enclose(page: Any, corners: list[tuple[float, float]]) -> None:
    page.mouse.move(*place_on_map(page, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*place_on_map(page, *corner), steps=4)
    page.mouse.up()


def test_the_first_visit_is_guided_and_the_tour_ends(page: Any) -> None:
    for sentence in ("The map.", "Listen.", "Select.", "Group and name."):
        page.get_by_text(sentence, exact=True).wait_for()
        page.get_by_role("button", name="Next", exact=True).click()
    page.get_by_text("Take it with you.").wait_for()
    page.get_by_role("button", name="Close").click()
    page.get_by_text("Take it with you.").wait_for(state="detached")


def test_every_window_is_a_point(page: Any) -> None:
    wait(page, ".map", "data-count", str(NUM_WINDOWS))
    assert page.get_by_text("60 windows · 6 recordings").count() == 1


def test_a_click_shows_and_plays_exactly_that_window(page: Any) -> None:
    # The point that lies nearest to the middle, wherever the map has put it.
    spot = page.locator(".map").evaluate(
        """root => { const m = root.pointMap, view = m.matrix();
             const sides = [m.overlay.clientWidth, m.overlay.clientHeight];
             return m.screen(17, view).map((v, i) => v / sides[i]); }"""
    )
    page.mouse.click(*place_on_map(page, *spot))
    wait(page, ".player", "data-duration", lambda text: abs(float(text) - WINDOW_S) < 1e-3)
    audio = page.locator(".player audio")
    until = time.monotonic() + 20
    while audio.evaluate("a => a.readyState") < 3 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert audio.evaluate("a => a.readyState") >= 3
    assert audio.evaluate("a => a.error") is None
    loudest = audio.evaluate(
        """async a => { const bytes = await (await fetch(a.src)).arrayBuffer();
             const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
             return [sound.duration, Math.max(...sound.getChannelData(0).map(Math.abs))]; }"""
    )
    assert loudest[0] == pytest.approx(WINDOW_S, abs=1e-3)
    assert loudest[1] == pytest.approx(0.9, abs=0.05)  # faint sounds are made as loud as they may be


def test_the_arrows_go_through_time_and_space_plays(page: Any) -> None:
    first = page.locator(".player").get_attribute("data-window")
    page.keyboard.press("ArrowRight")
    second = wait(page, ".player", "data-window", lambda name: name != first)
    assert second.split("-")[0] == first.split("-")[0]
    assert int(second.split("-")[1]) == int(first.split("-")[1]) + 1
    page.keyboard.press("ArrowLeft")
    wait(page, ".player", "data-window", first)
    page.keyboard.press(" ")
    wait(page, ".player", "class", lambda names: "sounds" in names)
    page.keyboard.press(" ")
    wait(page, ".player", "class", lambda names: "sounds" not in names)


def test_bats_are_played_ten_times_slower(page: Any) -> None:
    settle(page)
    page.get_by_role("button", name="Bats").or_(page.get_by_role("radio", name="Bats")).first.click()
    wait(page, ".player", "data-duration", lambda text: abs(float(text) - 10 * WINDOW_S) < 1e-2)
    page.get_by_role("button", name="All", exact=True).or_(
        page.get_by_role("radio", name="All", exact=True)
    ).first.click()
    wait(page, ".player", "data-duration", lambda text: abs(float(text) - WINDOW_S) < 1e-2)


def test_similar_windows_have_players_and_lead_on(page: Any) -> None:
    settle(page)
    cards = page.locator(".strip").first.locator("figure")
    cards.first.wait_for()
    assert cards.count() == 8
    length_s = cards.first.locator("audio").evaluate(
        "a => new Promise(done => { a.onloadedmetadata = () => done(a.duration); a.load(); })"
    )
    assert length_s == pytest.approx(WINDOW_S, abs=1e-3)
    before = page.locator(".player").get_attribute("data-window")
    cards.first.locator("figcaption").click()
    wait(page, ".player", "data-window", lambda name: name != before)


def test_a_lasso_selects_what_it_encloses(page: Any) -> None:
    settle(page)
    enclose(page, WHOLE)
    wait(page, ".map", "data-selected", str(NUM_WINDOWS))
    page.get_by_text("60 windows selected").wait_for()
    enclose(page, [(0.01, 0.12), (0.5, 0.12), (0.5, 0.99), (0.01, 0.99), (0.01, 0.12)])
    left = int(wait(page, ".map", "data-selected", lambda text: 0 < int(text) < NUM_WINDOWS))
    settle(page)
    page.keyboard.down("Shift")
    page.get_by_role("button", name="Box").click()
    enclose(page, [WHOLE[0], (0.99, 0.99)])
    page.keyboard.up("Shift")
    wait(page, ".map", "data-selected", lambda text: int(text) > left)


def test_export_gives_what_is_selected(page: Any) -> None:
    settle(page)
    page.get_by_role("button", name="Export").or_(page.get_by_role("radio", name="Export")).first.click()
    page.get_by_role("button", name="Prepare files").click()
    num_selected = int(page.locator(".map").get_attribute("data-selected"))
    with page.expect_download() as table:
        page.get_by_role("button", name="Table (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text())))
    assert len(rows) == num_selected
    with page.expect_download() as clips:
        page.get_by_role("button", name="Clips (ZIP)").click()
    with zipfile.ZipFile(clips.value.path()) as archive:
        names = archive.namelist()
        assert len(names) == num_selected
        sound, rate_hz = soundfile.read(io.BytesIO(archive.read(names[0])))
    assert len(sound) == WINDOW_S * rate_hz
    with page.expect_download() as picture:
        page.get_by_role("button", name="Map as PNG").click()
    assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")


def test_the_view_is_in_the_address_and_comes_back_from_a_file(page: Any, tmp_path: Path) -> None:
    assert "view=" in page.url
    with page.expect_download() as download:
        page.get_by_role("button", name="View as a file").click()
    view = json.loads(Path(download.value.path()).read_text())
    assert len(view["selected"]) == int(page.locator(".map").get_attribute("data-selected"))
    path = tmp_path / "view.json"
    path.write_text(json.dumps(view | {"selected": ["r0-1", "r0-2", "gone"], "focus": "r0-3"}))
    page.locator("input[type=file]").set_input_files(path)
    wait(page, ".map", "data-selected", "2")
    wait(page, ".player", "data-window", "r0-3")


def test_search_dims_what_does_not_fit(page: Any) -> None:
    settle(page)
    page.get_by_placeholder("file, label").fill("card_0")
    page.keyboard.press("Enter")
    wait(page, ".map", "data-shown", "10")
    page.get_by_text("10 of 60 windows fit").wait_for()
    page.get_by_placeholder("file, label").fill("no such thing")
    page.keyboard.press("Enter")
    page.get_by_text("No window fits these filters").wait_for()
    page.get_by_placeholder("file, label").fill("")
    page.keyboard.press("Enter")
    wait(page, ".map", "data-shown", str(NUM_WINDOWS))


def test_another_map_takes_the_place_of_the_old_one_when_it_is_ready(page: Any) -> None:
    settle(page)
    old = page.locator(".map").get_attribute("data-version")
    page.get_by_role("button", name="PCA").or_(page.get_by_role("radio", name="PCA")).first.click()
    flat = wait(page, ".map", "data-version", lambda version: version != old)
    settle(page)
    page.get_by_role("button", name="3-D").or_(page.get_by_role("radio", name="3-D")).first.click()
    wait(page, ".map", "data-version", lambda version: version != flat)
    assert page.locator(".map").get_attribute("data-count") == str(NUM_WINDOWS)


def test_clusters_are_found_heard_and_named(page: Any) -> None:
    settle(page)
    page.get_by_role("button", name="Clusters").or_(page.get_by_role("radio", name="Clusters")).first.click()
    page.get_by_text("Typical", exact=True).wait_for()
    page.get_by_label("Name of the cluster").fill("tree frogs")
    page.keyboard.press("Enter")
    page.locator(".legend").get_by_text("tree frogs").wait_for()
    page.get_by_role("button", name="HDBSCAN").or_(page.get_by_role("radio", name="HDBSCAN")).first.click()
    page.get_by_text("Smallest cluster").wait_for()


def test_the_page_speaks_spanish(page: Any) -> None:
    settle(page)
    page.get_by_role("button", name="Español").or_(page.get_by_role("radio", name="Español")).first.click()
    page.get_by_text("60 ventanas · 6 grabaciones").wait_for()
    page.get_by_placeholder("archivo, etiqueta").wait_for()


def test_nobody_else_was_asked_and_nothing_was_wrong(page: Any, heard: dict[str, list[str]]) -> None:
    assert heard["strangers"] == []
    assert heard["complaints"] == []
