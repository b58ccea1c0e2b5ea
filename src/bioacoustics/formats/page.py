"""Page: a report as one HTML file that needs nothing else -- no network, no scripts, no other files."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from pathlib import Path

from bioacoustics.audio.writing import atomic_write
from bioacoustics.formats.words import Language, word


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next; `command` is a line to copy into a terminal, or empty."""

    text: str
    command: str = ""


class Page:
    """Gathers sections from top to bottom; all text is plain text and is escaped here.

    The page follows the reader's light or dark setting, fits phones and prints well. The browser is told to
    load nothing from anywhere (Content-Security-Policy), so a page that is passed on stays private.
    """

    def __init__(self, title: str, *, lead: str = "", language: Language = "en") -> None:
        self._title, self._lead, self._language = title, lead, language
        self._headings: list[str] = []
        self._body: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._headings.append(text)
        self._body.append(f'<h2 id="s{len(self._headings)}">{escape(text)}</h2>')

    def paragraph(self, text: str) -> None:
        """Add running text."""
        self._body.append(f"<p>{escape(text)}</p>")

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Add the few numbers that matter, large: (what it is, value with its unit)."""
        tiles = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
        )
        self._body.append(f'<dl class="facts">{tiles}</dl>')

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str | int | float]], *, caption: str = ""
    ) -> None:
        """Add a table; numbers stand right, floats have three decimals, NaN is a dash."""
        assert all(len(row) == len(columns) for row in rows), "every row has a cell for every column"
        is_number = [any(not isinstance(row[i], str) for row in rows) for i in range(len(columns))]
        head = "".join(
            f'<th scope="col"{_RIGHT if right else ""}>{escape(column)}</th>'
            for column, right in zip(columns, is_number, strict=True)
        )
        lines = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>\n" for row in rows)
        title = f"<caption>{escape(caption)}</caption>" if caption else ""
        content = f"{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>"
        self._body.append(f'<div class="wide"><table>{content}</table></div>')

    def picture(self, png: bytes, *, description: str, caption: str = "") -> None:
        """Add a PNG; `description` is read to those who do not see it."""
        data = base64.b64encode(png).decode("ascii")
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        # At less than three quarters of its size the writing is too small: then the picture scrolls sideways.
        least = round(0.75 * _width_px(png))
        source = f'src="data:image/png;base64,{data}"'
        image = f'<img alt="{escape(description)}" style="min-width: {least}px" {source}>'
        self._body.append(f'<figure><div class="wide">{image}</div>{below}</figure>')

    def sound(self, title: str, about: str, *, png: bytes | None = None, mp3: bytes | None = None) -> None:
        """Add a card with a title, the picture of a sound and a player; cards stand beside each other."""
        parts = [f"<h3>{escape(title)}</h3>"]
        if png is not None:
            source = base64.b64encode(png).decode("ascii")
            parts.append(f'<img alt="{escape(title)}" src="data:image/png;base64,{source}">')
        if mp3 is not None:
            source = base64.b64encode(mp3).decode("ascii")
            parts.append(f'<audio controls preload="none" src="data:audio/mpeg;base64,{source}"></audio>')
        card = f'<section class="sound">{"".join(parts)}<p>{escape(about)}</p></section>'
        if self._body and self._body[-1].endswith(_END_OF_SOUNDS):
            self._body[-1] = self._body[-1].removesuffix(_END_OF_SOUNDS) + card + _END_OF_SOUNDS
        else:
            self._body.append(f'<div class="sounds">{card}{_END_OF_SOUNDS}')

    def next_steps(self, steps: Sequence[Step]) -> None:
        """Add the section on what to do next, as a numbered list with commands to copy."""
        self.heading(word("next_steps", self._language))
        items = "".join(
            f"<li>{escape(step.text)}"
            + (f"<pre><code>{_words(step.command)}</code></pre>" if step.command else "")
            + "</li>\n"
            for step in steps
        )
        self._body.append(f"<ol>{items}</ol>")

    def html(self) -> str:
        """The whole page."""
        links = "".join(
            f'<li><a href="#s{number}">{escape(text)}</a></li>'
            for number, text in enumerate(self._headings, start=1)
        )
        contents = word("contents", self._language)
        lead = f'<p class="lead">{escape(self._lead)}</p>' if self._lead else ""
        body = "\n".join(self._body)
        return (
            f'<!DOCTYPE html>\n<html lang="{self._language}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'\">\n"
            f"<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            f"<header><h1>{escape(self._title)}</h1>{lead}</header>\n"
            f'<nav aria-label="{contents}"><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n'
            f"<footer>{word('made_by', self._language)}</footer>\n</body>\n</html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(self.html().encode())


def _width_px(png: bytes) -> float:
    """How wide the picture is meant to be, in CSS pixels: `pictures` draws 1.5 dots for each."""
    assert png.startswith(b"\x89PNG"), "pictures are PNG"
    return int.from_bytes(png[16:20], "big") / 1.5


def _words(command: str) -> str:
    """The words of a command apart: a browser would break a line after the hyphens of a flag."""
    parts = re.split(r"(\s+)", command)
    return "".join(f"<span>{escape(part)}</span>" if part.strip() else part for part in parts)


_END_OF_SOUNDS = "</div><!-- sounds -->"
_RIGHT = ' class="number"'


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    text = "–" if isnan(value) else f"{value:.3f}" if isinstance(value, float) else str(value)
    return f"<td{_RIGHT}>{text}</td>"


_STYLE = """
:root {
  --paper: #ffffff; --ink: #1d2429; --soft: #5b6770; --line: #d9dfe3; --tint: #f3f6f8; --accent: #00608f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14191d; --ink: #e6ebee; --soft: #9fb0bb; --line: #313b42; --tint: #1d252b; --accent: #6cc0ee;
  }
}
* { box-sizing: border-box }
body {
  margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .8rem; padding-top: .9rem; border-top: 1px solid var(--line) }
p, li { max-width: 46rem }
a { color: var(--accent) }
.lead { font-size: 1.15rem; color: var(--soft); margin: 0 }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 1.2rem 0 0; padding: 0 }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; margin: 1.2rem 0;
}
.facts div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: .8rem 1rem;
  background: var(--tint); border: 1px solid var(--line); border-radius: .6rem;
}
.facts dd { margin: 0; font-size: 1.6rem; font-weight: 650; line-height: 1.25; overflow-wrap: anywhere }
.facts dt { color: var(--soft); font-size: .9rem }
.wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .95rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem }
th, td { text-align: left; padding: .35rem 1.4rem .35rem 0; border-bottom: 1px solid var(--line) }
th { vertical-align: bottom }
td { vertical-align: top }
.number { text-align: right }
thead th { border-bottom: 2px solid var(--soft) }
figure { margin: 1.2rem 0 }
figure .wide { margin: 0 }
img {
  display: block; max-width: 100%; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: .5rem;
}
figcaption { color: var(--soft); font-size: .92rem; margin-top: .35rem }
.sounds { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
.sound { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; background: var(--tint) }
.sound h3 { font-size: .95rem; margin: 0 0 .5rem; overflow-wrap: anywhere }
.sound p { font-size: .85rem; color: var(--soft); margin: .4rem 0 0; overflow-wrap: anywhere }
.sound audio { width: 100%; margin-top: .5rem }
pre {
  background: var(--tint); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; line-height: 1.45;
}
code { font-family: ui-monospace, "Cascadia Code", Menlo, Consolas, monospace }
code span { display: inline-block; max-width: 100% }
ol > li { margin: .7rem 0 }
footer { margin-top: 3rem; color: var(--soft); font-size: .9rem }
@media print {
  :root {
    --paper: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb; --tint: #ffffff; --accent: #000000;
  }
  body { max-width: none; padding: 0; font-size: 10.5pt }
  nav { display: none }
  h2 { break-after: avoid }
  figure, tr, .facts div, pre { break-inside: avoid }
  img { min-width: 0 !important }
}
"""
