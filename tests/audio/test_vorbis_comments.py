"""Comments in Ogg: Vorbis and Opus by libsndfile, flac page by page; plain flac is in test_tags.py."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.tags import read_tags, text_of

COMMENT = "Recorded at 04:00:00 02/05/2021 (UTC+10) by AudioMoth 247AA5075E06337D"


@pytest.mark.parametrize(
    ("name", "subtype", "num_letters"),
    [("a.ogg", "VORBIS", 1), ("a.ogg", "VORBIS", 70_000), ("a.opus", "OPUS", 1)],  # 70,000 take two pages
)
def test_vorbis_and_opus(tmp_path: Path, name: str, subtype: str, num_letters: int) -> None:
    path = tmp_path / name
    with soundfile.SoundFile(path, "w", 16000, 1, format="OGG", subtype=subtype) as file:
        file.title, file.comment, file.artist = "x" * num_letters, COMMENT, "Ñandú"
        file.write(np.zeros(800))
    tags = read_tags(path)
    assert text_of(tags["COMMENT"]) == COMMENT
    assert text_of(tags["ARTIST"]) == "Ñandú"


def _page(number: int, *packets: bytes, serial: bytes = b"abcd") -> bytes:
    lengths = b"".join(b"\xff" * (len(one) // 255) + bytes([len(one) % 255]) for one in packets)
    head = b"OggS\0\0" + b"\0" * 8 + serial + struct.pack("<II", number, 0)
    return head + bytes([len(lengths)]) + lengths + b"".join(packets)


def test_flac_in_ogg_and_other_streams_between(tmp_path: Path) -> None:
    entry = f"comment={COMMENT}".encode()
    block = struct.pack("<I", 1) + b"x" + struct.pack("<II", 1, len(entry)) + entry
    path = tmp_path / "a.oga"
    path.write_bytes(
        _page(0, b"\x7fFLAC\x01\x00\x00\x02fLaC" + b"\0" * 38)
        + _page(0, b"OpusTags but of another", serial=b"efgh")
        + _page(1, b"\x01\0\0\x04seek")
        + _page(2, b"\x84" + len(block).to_bytes(3, "big") + block)
    )
    assert text_of(read_tags(path)["COMMENT"]) == COMMENT


def test_sound_is_not_searched(tmp_path: Path) -> None:
    """A stream that is none of the three, or has no comments, ends the search at its second packet."""
    path = tmp_path / "a.ogg"
    path.write_bytes(_page(0, b"Speex   ", b"\0" * 300, b"\x03vorbis"))
    assert read_tags(path) == {}


@pytest.mark.parametrize("num_bytes", [0, 4, 26, 27, 60, 90, 130])
def test_cut_files_give_what_is_there(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "a.ogg"
    with soundfile.SoundFile(path, "w", 16000, 1, format="OGG", subtype="VORBIS") as file:
        file.comment = COMMENT
        file.write(np.zeros(800))
    path.write_bytes(path.read_bytes()[:num_bytes])
    assert set(read_tags(path)) <= {"ENCODER", "COMMENT"}
