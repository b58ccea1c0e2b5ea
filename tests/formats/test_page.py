"""The page is one well-formed file that asks for nothing and shows all text as it was given."""

import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from bioacoustics.formats.page import Page, Step
from bioacoustics.formats.pictures import per_class_bars

VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def values(self, tag, name):
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


NASTY = "<script>alert('ñ & \"x\"')</script>"


@pytest.fixture
def page():
    page = Page(NASTY, lead=NASTY)
    page.heading(NASTY)
    page.paragraph(NASTY)
    page.facts([(NASTY, "82 %")])
    page.table(("label", "clips", "recall"), [(NASTY, 3, 0.5), ("b", 12, float("nan"))], caption=NASTY)
    page.picture(per_class_bars(["a"], np.array([0.4]), name="recall"), description=NASTY, caption=NASTY)
    page.next_steps([Step(NASTY), Step("run this", f"make demo DATA={NASTY}")])
    return page


def test_all_text_is_escaped_and_shown(page):
    reader = Reader(page.html())
    assert "script" not in reader.tags
    assert "".join(reader.text).count(NASTY) == 12
    assert NASTY in reader.values("img", "alt")


def test_nothing_is_loaded_from_anywhere(page):
    html = page.html()
    reader = Reader(html)
    assert all(value.startswith("data:image/png;base64,") for value in reader.values("img", "src"))
    assert all(value.startswith("#") for value in reader.values("a", "href"))
    assert "link" not in reader.tags
    assert "url(" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in "".join(v for v in reader.values("meta", "content"))


def test_headings_are_linked_from_the_contents(page):
    reader = Reader(page.html())
    assert reader.values("a", "href") == ["#s1", "#s2"]
    assert reader.values("h2", "id") == ["s1", "s2"]


def test_numbers_stand_right_and_nan_is_a_dash(page):
    html = page.html()
    assert '<td class="number">3</td><td class="number">0.500</td>' in html
    assert '<td class="number">12</td><td class="number">–</td>' in html
    assert '<th scope="col">label</th><th scope="col" class="number">clips</th>' in html


def test_pictures_never_shrink_to_unreadable_writing(page):
    (style,) = Reader(page.html()).values("img", "style")
    assert style == f"min-width: {round(0.75 * 7.2 * 96)}px"


def test_languages():
    spanish = Page("Informe", language="es")
    spanish.next_steps([Step("Entrene con sus grabaciones")])
    html = spanish.html()
    assert '<html lang="es">' in html
    assert "Qué hacer ahora" in html
    assert "What to do next" not in html
    assert 'lang="en"' in Page("Report").html()


def test_light_dark_phone_and_print_are_provided_for(page):
    html = page.html()
    for rule in ("prefers-color-scheme: dark", "width=device-width", "@media print"):
        assert rule in html


def test_page_is_written_whole_in_utf8(page, tmp_path):
    path = tmp_path / "Grabación Ñandú" / "report.html"
    page.write(path)
    assert path.read_text(encoding="utf-8") == page.html()
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_rows_of_another_length_are_our_own_mistake():
    with pytest.raises(AssertionError, match="every row has a cell"):
        Page("x").table(("a", "b"), [("1",)])


def test_sounds_stand_in_one_grid_and_play_from_within_the_page():
    page = Page("Finds")
    page.sound(
        "1. <owl>.wav",
        "south & north",
        png=per_class_bars(["a"], np.array([0.5]), name="recall"),
        mp3=b"\xff\xfb sound",
    )
    page.sound("2. gone.wav", "it is not there any more")
    page.paragraph("between")
    page.sound("3. wren.wav", "", mp3=b"\xff\xfb more")
    read = Reader(page.html())
    assert read.tags.count("audio") == 2
    assert [value for tag, name, value in read.attributes if (tag, name) == ("div", "class")] == [
        "sounds"
    ] * 2
    sources = [value for tag, name, value in read.attributes if (tag, name) == ("audio", "src")]
    assert all(source.startswith("data:audio/mpeg;base64,") for source in sources)
    assert "1. <owl>.wav" in read.text
    assert "south & north" in read.text
    policy = next(value for tag, name, value in read.attributes if value and "default-src" in value)
    assert "media-src data:" in policy


def test_a_long_command_is_whole_in_a_narrow_window():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    page = Page("Card")
    path = "/" + "/".join(["Grabación Ñandú 2026", "x" * 150])
    command = f'bioacoustics embed --model_path model.pt --data_dir "{path}" --output embeddings.parquet'
    page.next_steps([Step("Go on:", command)])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 700, "height": 500})
        tab.set_content(page.html())
        widths = tab.evaluate("(e => [e.scrollWidth, e.clientWidth])(document.querySelector('pre'))")
        flag_heights = tab.evaluate(
            "[...document.querySelectorAll('pre span')].filter(e => e.textContent.startsWith('--'))"
            ".map(e => e.getClientRects().length)"
        )
        copied = tab.evaluate(
            "(e => {getSelection().selectAllChildren(e); return getSelection().toString()})"
            "(document.querySelector('pre'))"
        )
        browser.close()
    assert widths[0] <= widths[1]
    assert flag_heights == [1, 1, 1]
    assert copied.strip() == command
