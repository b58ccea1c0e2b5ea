"""Whatever is opened, the page says a sentence that helps, and shows no traceback."""

import sys
from pathlib import Path

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parent))  # for small_store.py
from small_store import make_store

from bioacoustics.explorer.opening import CACHE_VARIABLE
from bioacoustics.store.database import Store


def _script() -> None:
    from bioacoustics.cli.explore import main

    main()


@pytest.fixture
def visit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    config.set_option("server.address", "127.0.0.1")  # as both doors do

    def visited(*arguments: object, **session: object) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["explore", *map(str, arguments)])
        test = AppTest.from_function(_script, default_timeout=120)
        for name, value in session.items():
            test.session_state[name] = value
        return test.run()

    return visited


def said(test: AppTest) -> str:
    assert not test.exception, test.exception
    kinds = (test.error, test.warning, test.info, test.caption, test.markdown)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_nothing_to_open(visit) -> None:  # type: ignore[no-untyped-def]
    assert "nothing to open" in said(visit())
    assert "there is no store" in said(visit("nowhere.lance"))


def test_an_empty_store(visit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    Store.create(tmp_path / "empty.lance")
    assert "embed" in said(visit(tmp_path / "empty.lance"))


def test_three_windows_one_recording(visit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = make_store(tmp_path, num_recordings=1, windows_each=3)
    assert "Nothing is selected" in said(visit(store, focus=1, method="pca"))


def test_a_recording_that_is_gone(visit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = make_store(tmp_path, num_recordings=2, windows_each=3)
    (tmp_path / "cards/north/card_0.wav").unlink()
    assert "not there any more" in said(visit(store, focus=0, method="pca"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "cannot be heard" in said(visit(store, "--data_dir", elsewhere, focus=4, method="pca"))


def test_silence(visit, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = make_store(tmp_path, num_recordings=2, windows_each=3, silent=True)
    assert "cannot be heard" not in said(visit(store, focus=1, method="pca", language="es"))
