"""What every test may ask for: the shared golden data and recordings."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
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


def _chunk(name: str, content: bytes) -> bytes:
    return name.encode() + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _write_wav(
    path: Path,
    samples: np.ndarray | None = None,
    rate_hz: int = 8000,
    *,
    info: Mapping[str, str] | None = None,
    chunks: Mapping[str, bytes] | None = None,
    chunks_behind: Mapping[str, bytes] | None = None,
) -> Path:
    """A 16-bit mono wav with INFO texts and other chunks before or behind the sound, byte by byte."""
    sound = np.zeros(800) if samples is None else samples
    parts = [_chunk("fmt ", struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16))]
    if info:
        texts = b"".join(_chunk(name, text.encode() + b"\0") for name, text in info.items())
        parts.append(_chunk("LIST", b"INFO" + texts))
    parts += [_chunk(name, content) for name, content in (chunks or {}).items()]
    parts.append(_chunk("data", (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()))
    parts += [_chunk(name, content) for name, content in (chunks_behind or {}).items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_chunk("RIFF", b"WAVE" + b"".join(parts)))
    return path


@pytest.fixture(scope="session")
def write_wav() -> Callable[..., Path]:
    """Ask it for wav files that say what recorders say."""
    return _write_wav
