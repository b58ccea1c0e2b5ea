"""What every test may ask for: the shared golden data and recordings."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden data and real recordings that lies beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with golden data and recordings is not here")
    return SHARED


@pytest.fixture(scope="session")
def golden_eat(shared: Path) -> Path:
    return shared / "golden" / "eat"


@pytest.fixture(scope="session")
def golden_beats(shared: Path) -> Path:
    return shared / "golden" / "beats"
