"""docs/golden.md lists every golden file of EAT, and the tests it names exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "golden.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|$", PAGE, re.MULTILINE)


def test_every_golden_file_is_listed(golden_eat: Path) -> None:
    listed = [name for files, _ in ROWS for name in re.findall(r"`([^`]+)`", files)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.name for path in golden_eat.iterdir()}


@pytest.mark.parametrize("tests", [tests for _, tests in ROWS])
def test_the_tests_it_names_exist(tests: str) -> None:
    path = ROOT
    for word in re.findall(r"`([^`]+)`", tests):
        name, _, function = word.partition("::")
        path = ROOT / name if name else path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, word
