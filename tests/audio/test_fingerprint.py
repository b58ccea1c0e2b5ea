"""A file has one fingerprint, wherever it lies; a changed file has another."""

from pathlib import Path

import numpy as np

from bioacoustics.audio.fingerprint import PIECE_BYTES, audio_fingerprint


def test_it_is_of_the_content_and_not_of_the_name(tmp_path: Path) -> None:
    content = bytearray(np.random.default_rng(0).bytes(10 * PIECE_BYTES))
    a, b = tmp_path / "a.wav", tmp_path / "b.wav"
    a.write_bytes(content)
    b.write_bytes(content)
    assert audio_fingerprint(a) == audio_fingerprint(b)
    seen = {audio_fingerprint(a)}
    for position in (0, len(content) // 2, len(content) - 1):
        changed = content.copy()
        changed[position] ^= 1
        b.write_bytes(changed)
        seen.add(audio_fingerprint(b))
    b.write_bytes(content + b"\0")
    seen.add(audio_fingerprint(b))
    assert len(seen) == 5


def test_small_and_empty_files_have_one_too(tmp_path: Path) -> None:
    seen = set()
    for content in (b"", b"x", b"xy"):
        (tmp_path / "a").write_bytes(content)
        seen.add(audio_fingerprint(tmp_path / "a"))
    assert len(seen) == 3
