"""docs/golden.md lists every golden file, and the tests it names exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "golden.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[^|]+`) \| ([^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("model", ["EAT", "BEATs"])
def test_every_golden_file_is_listed(shared: Path, model: str) -> None:
    section = PAGE.split(f"\n## {model}\n")[1].split("\n## ")[0]
    listed = [name for files, _ in ROW.findall(section) for name in re.findall(r"`([^`]+)`", files)]
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.name for path in (shared / "golden" / model.lower()).iterdir()}


@pytest.mark.parametrize("tests", [tests for _, tests in ROW.findall(PAGE)])
def test_the_tests_it_names_exist(tests: str) -> None:
    path = ROOT
    for word in re.findall(r"`([^`]+)`", tests):
        name, _, function = word.partition("::")
        path = ROOT / name if name else path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, word
