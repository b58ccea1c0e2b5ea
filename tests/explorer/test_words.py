"""Both languages have every sentence, with the same values in it, and the page uses no other."""

import re
from pathlib import Path
from string import Formatter

import pytest

from bioacoustics.explorer import words
from bioacoustics.explorer.page import PANELS
from bioacoustics.explorer.panels.export import MAX_CLIPS
from bioacoustics.explorer.panels.hear_next import KINDS
from bioacoustics.explorer.words import WORDS, word

SOURCES = sorted(Path(words.__file__).parent.rglob("*.py"))


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", WORDS)
def test_every_sentence_is_there_twice(key: str) -> None:
    english, spanish = WORDS[key]
    assert english.strip()
    assert spanish.strip()
    assert fields(english) == fields(spanish)


def test_the_page_says_nothing_that_is_not_written() -> None:
    used = {
        key
        for path in SOURCES
        for key in re.findall(r'(?:say|heading)\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert used <= set(WORDS)
    assert len(used) > 60


def test_names_that_are_put_together_are_written_too() -> None:
    panels = {f"panel_{name}" for name in PANELS}
    views = {f"patterns_{name}" for name in ("season", "hours", "recording", "follows_what")}
    columns = {f"season_column_{name}" for name in ("file", "novel", "windows")}
    told = {f"told_{name}" for name in ("labels", "site", "recorder", "recording", "hour", "loudness")}
    offered = {f"next_{kind}{end}" for kind in KINDS for end in ("", "_help")}
    assert panels | views | columns | told | offered <= set(WORDS)


def test_every_step_of_the_work_can_be_told_in_both_languages() -> None:
    steps = {
        key for path in SOURCES for key in re.findall(r'Step\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert {f"step_{key}" for key in steps} <= set(WORDS)
    assert len(steps) > 15
    for key in steps:
        for language in ("en", "es"):
            told = word(f"step_{key}", language, done=3, total=7)  # type: ignore[arg-type]
            assert "{" not in told


def test_values_are_put_in() -> None:
    assert str(MAX_CLIPS) in word("export_clips_limit", "es", number=MAX_CLIPS)
