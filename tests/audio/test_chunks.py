"""Tags in the chunks of W64 and AIFF; those of wav are in test_tags.py."""

import struct
from pathlib import Path

import numpy as np
import soundfile

from bioacoustics.audio.tags import read_tags, text_of

COMMENT = "Recorded at 04:00:00 02/05/2021 (UTC+10) by AudioMoth 247AA5075E06337D"


def _w64_chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """As Sony describes it: an identifier, a size that counts the header, filled up to eight bytes."""
    num_bytes = struct.pack("<Q", 24 + len(content) if size is None else size)
    return name + b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a" + num_bytes + _filled(content)


def _filled(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 8)


def _w64_with(path: Path, *chunks: bytes) -> Path:
    soundfile.write(path, np.zeros(804), 8000, format="W64", subtype="PCM_16")
    content = path.read_bytes()
    content = content[:40] + b"".join(chunks) + _filled(content[40:])
    path.write_bytes(content[:16] + struct.pack("<Q", len(content)) + content[24:])
    return path


def test_w64(tmp_path: Path) -> None:
    text = COMMENT.encode() + b"\0"
    info = b"INFOICMT" + struct.pack("<I", len(text)) + text
    path = _w64_with(
        tmp_path / "a.w64",
        _w64_chunk(b"list", info),
        _w64_chunk(b"bext", b"b" * 602),
        _w64_chunk(b"guan", b"GUANO|Version: 1.0"),
    )
    assert soundfile.info(path).frames == 804  # the sound is found between them, too
    tags = read_tags(path)
    assert text_of(tags["ICMT"]) == COMMENT
    assert len(tags["bext"]) == 602
    assert text_of(tags["guan"]) == "GUANO|Version: 1.0"


def test_impossible_sizes_in_w64_end_the_search(tmp_path: Path) -> None:
    guano = _w64_chunk(b"guan", b"GUANO|Version: 1.0")
    for size in (0, 23, 1 << 63, (1 << 64) - 1):
        path = _w64_with(tmp_path / f"{size}.w64", guano, _w64_chunk(b"bad ", b"", size))
        assert text_of(read_tags(path)["guan"]) == "GUANO|Version: 1.0"


def test_aiff(tmp_path: Path) -> None:
    path = tmp_path / "a.aiff"
    with soundfile.SoundFile(path, "w", 8000, 1, format="AIFF") as file:
        file.comment, file.artist = COMMENT, "Ñandú"
        file.write(np.zeros(801))
    tags = read_tags(path)
    assert text_of(tags["COMMENT"]) == COMMENT
    assert text_of(tags["ARTIST"]) == "Ñandú"


def test_the_comments_chunk_of_aiff(tmp_path: Path) -> None:
    comment = struct.pack(">HIHH", 1, 0, 0, len(COMMENT)) + COMMENT.encode()
    content = b"AIFF" + b"COMT" + struct.pack(">I", len(comment)) + comment
    (tmp_path / "a.aif").write_bytes(b"FORM" + struct.pack(">I", len(content)) + content)
    assert text_of(read_tags(tmp_path / "a.aif")["COMMENT"]) == COMMENT
