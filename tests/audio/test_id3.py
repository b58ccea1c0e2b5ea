"""ID3 of every version, as libsndfile writes it and byte by byte."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.tags import read_tags, text_of

COMMENT = "Recorded at 04:00:00 02/05/2021 (UTC+10) by AudioMoth 247AA5075E06337D, ñ"


def _sized(number: int, bits: int) -> bytes:
    return bytes(number >> bits * place & (1 << bits) - 1 for place in (3, 2, 1, 0))


def _tag(version: int, *frames: tuple[str, bytes], flags: int = 0) -> bytes:
    content = b""
    for name, body in frames:
        size = len(body).to_bytes(3, "big") if version == 2 else _sized(len(body), 7 if version == 4 else 8)
        content += name.encode() + size + (b"" if version == 2 else b"\0\0") + body
    content += b"\0" * 20
    return b"ID3" + bytes([version, 0, flags]) + _sized(len(content), 7) + content


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize(
    "encoded",
    [
        b"\0eng\0" + COMMENT.encode("latin-1"),
        b"\1eng" + "\0".encode("utf-16") + COMMENT.encode("utf-16"),
        b"\2eng" + "\0".encode("utf-16-be") + COMMENT.encode("utf-16-be"),
        b"\3engabout\0" + COMMENT.encode() + b"\0",
    ],
)
def test_comments_in_every_encoding(tmp_path: Path, version: int, encoded: bytes) -> None:
    comment, artist, own = ("COM", "TP1", "TXX") if version == 2 else ("COMM", "TPE1", "TXXX")
    frames = [(artist, b"\0" + b"x" * 300), (own, b"\3site\0La Selva"), (comment, encoded)]
    (tmp_path / "a.mp3").write_bytes(_tag(version, *frames))
    assert {name: text_of(tag) for name, tag in read_tags(tmp_path / "a.mp3").items()} == {
        "ARTIST": "x" * 300,
        "SITE": "La Selva",
        "COMMENT": COMMENT,
    }


def test_an_mp3_by_libsndfile(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with soundfile.SoundFile(path, "w", 16000, 1, format="MP3") as file:
        file.comment = COMMENT[:-3]
        file.write(np.zeros(16000))
    assert text_of(read_tags(path)["COMMENT"]) == COMMENT[:-3]


def test_zeros_that_keep_players_in_step_are_taken_out(tmp_path: Path) -> None:
    body = b"\1eng" + "\0".encode("utf-16") + COMMENT.encode("utf-16")
    (tmp_path / "a.mp3").write_bytes(_tag(3, ("COMM", body)).replace(b"\xff", b"\xff\x00"))
    told = bytearray((tmp_path / "a.mp3").read_bytes())
    told[5], told[9] = 0x80, told[9] + 2  # the flag, and two more bytes
    (tmp_path / "a.mp3").write_bytes(bytes(told))
    assert text_of(read_tags(tmp_path / "a.mp3")["COMMENT"]) == COMMENT


@pytest.mark.parametrize(
    "content",
    [b"", b"ID3", b"ID3\x03\0\0\0\0", b"ID3\x09\0\0\0\0\0\x7fCOMM", b"ID3\x03\0\0\x7f\x7f\x7f\x7fCOMM\0\0"],
)
def test_damage_is_silent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    assert read_tags(tmp_path / "a.mp3") == {}


def test_what_is_no_comment_of_a_person_is_left_out(tmp_path: Path) -> None:
    frames = [("COMM", b"\0engiTunNORM\0 000003"), ("APIC", b"\0" * 40), ("COMM", b"\0eng\0a frog")]
    (tmp_path / "a.mp3").write_bytes(_tag(3, *frames))
    assert read_tags(tmp_path / "a.mp3") == {"COMMENT": b"a frog"}
