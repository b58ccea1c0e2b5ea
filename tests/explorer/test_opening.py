"""Flags say what is opened, and the page is served to this machine alone."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from bioacoustics.cli.explore import parsed
from bioacoustics.explorer.opening import CACHE_VARIABLE, OpeningConfig
from bioacoustics.explorer.panels.safety import is_loopback
from bioacoustics.explorer.server import SETTINGS, command, free_port

ROOT = Path(__file__).parents[2]


def test_the_documented_flags_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    config = parsed(["--data_dir", "DIR", "--checkpoint_path", "CKPT", "--max_samples", "1000"])
    assert config == OpeningConfig(data_dir=Path("DIR"), checkpoint_path=Path("CKPT"), max_samples=1000)
    assert config.embeds_first
    assert config.location().parent == tmp_path / "explorer"
    assert config.location() != config.model_copy(update={"max_samples": 10}).location()
    assert parsed(config.words()) == config
    assert parsed(["season.lance", "--no_browser"]).location() == Path("season.lance")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "nothing to open"),
        (["--data_dir", "d"], "give --checkpoint_path"),
        (["--checkpoint_path", "c", "s.lance"], "needs --data_dir"),
        (["s.lance", "--max_samples", "0"], "max_samples"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(arguments: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parsed(arguments)
    assert issubclass(ValidationError, ValueError)


def test_both_doors_have_the_same_settings() -> None:
    written = tomllib.loads((ROOT / "beats/.streamlit/config.toml").read_text())
    assert {
        f"{part}.{name}": value for part, values in written.items() for name, value in values.items()
    } == SETTINGS


def test_the_page_binds_to_loopback_and_tells_nobody() -> None:
    words = command(OpeningConfig(store=Path("s.lance")), 8600)
    assert "--server.address=127.0.0.1" in words
    assert "--browser.gatherUsageStats=false" in words
    assert words[words.index("--") + 1 :] == ["s.lance"]
    assert free_port(20000) >= 20000


def test_only_this_machine_is_local() -> None:
    assert all(map(is_loopback, (None, "127.0.0.1", "127.8.8.8", "::1")))
    assert not any(map(is_loopback, ("192.168.1.7", "8.8.8.8", "::ffff:8.8.8.8", "nonsense")))
