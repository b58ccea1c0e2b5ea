"""A visitor: what a person does on the page with mouse and keyboard, and what the browser hears meanwhile."""

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError as PlaywrightTimeout

from bioacoustics.explorer.links import ViewState, to_address
from bioacoustics.explorer.opening import CACHE_VARIABLE, OpeningConfig
from bioacoustics.explorer.server import command

CHROMIUM = next(
    (path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--autoplay-policy=no-user-gesture-required",
]
PATIENCE_S = 120.0  # a first UMAP is compiled before it is computed
POLL_MS = 50
SOON_MS = 3_000
WHOLE = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]

AT_REST = (
    "() => { const app = document.querySelector('[data-testid=stApp]');"
    " return app.dataset.testScriptState === 'notRunning'"
    " && !document.querySelector('[data-testid=stProgress], [data-testid=stSpinner], [data-stale=true]'); }"
)
NUM_LOOKS = 3  # one drawing may follow another at once
POSITION = "slider => slider.getAttribute('aria-valuenow') ?? slider.value"


@dataclass(frozen=True, slots=True)
class Served:
    """A page that runs, and the file with all that its server complained about."""

    address: str
    log: Path


@contextmanager
def serve(config: OpeningConfig, cache: Path, *, toured: bool = True) -> Iterator[Served]:
    """Run the page on a store; ended with the block."""
    with socket.socket() as free:  # of the system, as other tests look for ports at the same time
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cache.mkdir(parents=True, exist_ok=True)
    if toured:
        (cache / "explorer").mkdir(exist_ok=True)
        (cache / "explorer" / "tour_seen").touch()
    log = cache / f"{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command(config, port),
            env=os.environ | {CACHE_VARIABLE: str(cache)},
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        try:
            wait_for_server(port)
            yield Served(f"http://127.0.0.1:{port}", log)
        finally:
            process.terminate()
            process.wait()


def wait_for_server(port: int) -> None:
    """Until the page answers."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nobody answers at port {port}")


def settle(page: Any) -> None:
    """Wait until a page draws nothing any more and no work is under way."""
    page.wait_for_timeout(POLL_MS)
    looks = 0
    while looks < NUM_LOOKS:
        page.wait_for_function(AT_REST)
        page.wait_for_timeout(POLL_MS)
        looks = looks + 1 if page.evaluate(AT_REST) else 0


@dataclass(slots=True)
class Visitor:
    """Somebody at the page.

    Attributes:
        page: Of Playwright.
        served: What is visited.
        complaints: What the browser's console calls an error.
        strangers: Whom the browser asked besides the page itself.
    """

    page: Any
    served: Served
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def listen(self) -> None:
        """Write down errors and requests from now on."""
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: is_strange(asked.url) and self.strangers.append(asked.url))

    def visit(self, **view: Any) -> None:
        """Open the page with a view, and wait for its map."""
        link = to_address(ViewState(language="en", **view))
        self.page.goto(f"{self.served.address}/?view={link}")
        self.page.locator(".map[data-count]").wait_for()

    def choose(self, name: str, among: str | None = None) -> None:
        """Press one of several choices in a row."""
        where = self.page if among is None else self.page.get_by_role("radiogroup", name=among, exact=True)
        where.get_by_role("radio", name=name, exact=True).first.click()

    def press(self, name: str) -> None:
        """Press a button."""
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def pick(self, title: str, option: str) -> None:
        """Choose from a list that opens; it closes again when the page moves under it."""
        box = self.page.get_by_role("combobox", name=title, exact=True).first
        wanted = self.page.get_by_role("option", name=option, exact=True)
        box.scroll_into_view_if_needed()
        self.until(lambda: self._picks(box, wanted))

    def _picks(self, box: Any, wanted: Any) -> bool:
        if not wanted.count():
            box.press("Escape")
            box.press("ArrowDown")
            return False
        try:
            wanted.click(timeout=SOON_MS)
        except PlaywrightTimeout:  # it closed just then
            return False
        return True

    def slide(self, title: str, key: str, times: int = 1, thumb: int = 0) -> None:
        """Move a slider with the keyboard; a page that is redrawn meanwhile may swallow a key."""
        found = self.page.get_by_role("slider", name=title).nth(thumb)
        for _ in range(times):
            self.settle()
            before = found.evaluate(POSITION)
            self.until(lambda before=before: self._moves(found, key, before))

    def _moves(self, slider: Any, key: str, before: str) -> bool:
        if slider.evaluate(POSITION) == before:
            slider.press(key)
        return bool(slider.evaluate(POSITION) != before)

    def see(self, text: str | re.Pattern[str], *, within: str = "body") -> None:
        """Wait for a text."""
        self.page.locator(within).get_by_text(text).first.wait_for()

    def wait(self, selector: str, name: str, wanted: Any) -> str:
        """Wait until an attribute of an element is as wanted (a text, or a function of it)."""
        is_right = wanted if callable(wanted) else lambda value: value == wanted
        return str(
            self.until(
                lambda: self.page.locator(selector).first.get_attribute(name),
                lambda value: value is not None and is_right(value),
            )
        )

    def until(self, ask: Callable[[], Any], is_right: Callable[[Any], bool] = bool) -> Any:
        """Ask again and again until the answer is right."""
        end, answer = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            answer = ask()
            if is_right(answer):
                return answer
            self.page.wait_for_timeout(POLL_MS)
        raise AssertionError(f"waited in vain; at last it was {answer!r}")

    def settle(self) -> None:
        """Wait until the page draws nothing any more and no work is under way."""
        settle(self.page)

    def on_map(self, code: str) -> Any:
        """Ask the map (`m`) for something in its own language."""
        return self.page.locator(".map").evaluate(f"root => {{ const m = root.pointMap; return {code}; }}")

    def in_player(self, code: str) -> Any:
        """Ask the player (`p`) for something in its own language."""
        return self.page.locator(".player").evaluate(f"root => {{ const p = root.player; return {code}; }}")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A place on the map, in shares of its sides, as pixels of the screen."""
        overlay = self.page.locator(".map .overlay")
        overlay.scroll_into_view_if_needed()
        box = overlay.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def enclose(self, corners: list[tuple[float, float]]) -> None:
        """Draw with the mouse from corner to corner."""
        mouse = self.page.mouse
        mouse.move(*self.place(*corners[0]))
        mouse.down()
        for corner in corners[1:]:
            mouse.move(*self.place(*corner), steps=4)
        mouse.up()

    def select_all(self) -> None:
        """A lasso around everything."""
        count = self.page.locator(".map").get_attribute("data-count")
        self.enclose(WHOLE)
        self.wait(".map", "data-selected", count)

    def download(self, name: str) -> Path:
        """Press a button and keep the file that it gives."""
        with self.page.expect_download() as given:
            self.press(name)
        return Path(given.value.path())

    def charts(self, code: str, *, least: int = 1) -> Any:
        """Ask each chart of the panel below for something about its traces (`t`), once all are drawn."""
        self.settle()
        charts = self.page.locator(".st-key-panel_body .js-plotly-plot:has(.main-svg)")
        return self.until(
            lambda: charts.evaluate_all(
                f"""all => {{
                  const list = v => Array.isArray(v) || ArrayBuffer.isView(v) ? Array.from(v, list) : v;
                  if (all.length < {least} || all.some(c => !c._fullData?.length)) return null;
                  return all.map(c => {{
                    const t = c._fullData, layout = c._fullLayout; return list({code}); }}); }}"""
            )
        )

    def cells(self, at: int = 0) -> list[list[str]]:
        """The rows of a table of the panel below, as the browser reads it to those who do not see."""
        table = self.page.locator(".st-key-panel_body [data-testid=stDataFrame]").nth(at)
        table.locator("table [role=row]").first.wait_for(state="attached")
        rows: list[list[str]] = table.locator("table").evaluate(
            "t => [...t.querySelectorAll('[role=row]')].map("
            "r => [...r.querySelectorAll('[role=columnheader], [role=gridcell]')].map(c => c.textContent))"
        )
        return rows

    def lengths(self, strip: int = 0) -> list[float]:
        """Seconds of each sound of a row of small players of the panel below, once it is decoded."""
        shown = self.page.locator(".st-key-panel_body .strip").nth(strip)
        shown.locator("audio").first.wait_for(state="attached")
        found: list[float] = shown.evaluate(
            """strip => Promise.all([...strip.querySelectorAll('audio')].map(async a => {
                 const bytes = await (await fetch(a.src)).arrayBuffer();
                 return (await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes)).duration; }))"""
        )
        return found

    def heard(self) -> tuple[float, float]:
        """Seconds and peak of what the player would play, decoded by the browser."""
        seconds, peak = self.page.locator(".player audio").evaluate(
            """async a => { const bytes = await (await fetch(a.src)).arrayBuffer();
                 const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes);
                 return [sound.duration, Math.max(...sound.getChannelData(0).map(Math.abs))]; }"""
        )
        return float(seconds), float(peak)


def arrive(browser: Any, served: Served) -> Iterator[Visitor]:
    """A new visitor, who leaves with the fixture."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    visitor = Visitor(context.new_page(), served)
    visitor.listen()
    yield visitor
    context.close()


def is_strange(url: str) -> bool:
    """Whether a request leaves the page's own server."""
    return not re.match(r"(http|ws)://127\.0\.0\.1[:/]|data:|blob:", url)
