"""The tests that the table of wishes names exist, in both languages alike."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
PAGES = {
    name: ROW.findall((ROOT / "docs" / name).read_text(encoding="utf-8"))
    for name in ("wishes.md", "deseos.md")
}


def test_both_pages_have_thirty_wishes_and_the_same_tests() -> None:
    ours, theirs = PAGES.values()
    assert [int(row[0]) for row in ours] == list(range(1, 31))
    assert [(row[0], row[3]) for row in ours] == [(row[0], row[3]) for row in theirs]
    assert all(one[1] != other[1] and one[2] != other[2] for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("number", "wish", "answer", "tests"), PAGES["wishes.md"])
def test_the_tests_that_show_it_exist(number: str, wish: str, answer: str, tests: str) -> None:
    names = re.findall(r"`([^`]+)`", tests)
    assert names
    path = ROOT
    for word in names:
        name, _, function = word.partition("::")
        path = ROOT / name if name else path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, word
