"""Tags are found before and behind the sound, and damage never raises."""

import struct

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.tags import read_tags, text_of


def test_chunks_before_and_behind_the_sound(tmp_path, write_wav):
    path = write_wav(
        tmp_path / "Grabación Ñandú.wav",
        np.zeros(801),  # an odd number of bytes would shift what follows
        info={"IART": "AudioMoth 1", "ICMT": "odd"},
        chunks={"bext": b"b" * 602, "junk": b"x" * 7},
        chunks_behind={"guan": "GUANO|Version: 1.0\nNote: ñ".encode(), "wamd": b"\x01\x02\x03"},
    )
    tags = read_tags(path)
    assert {name: text_of(tag) for name, tag in tags.items() if name in {"IART", "ICMT", "guan"}} == {
        "IART": "AudioMoth 1",
        "ICMT": "odd",
        "guan": "GUANO|Version: 1.0\nNote: ñ",
    }
    assert tags["wamd"] == b"\x01\x02\x03"
    assert len(tags["bext"]) == 602
    assert "junk" not in tags


def test_a_real_audiomoth_file(shared):
    tags = read_tags(shared / "data" / "odd" / "20210502_040000.WAV")
    assert text_of(tags["IART"]) == "AudioMoth 247AA5075E06337D"
    assert text_of(tags["ICMT"]).startswith("Recorded at 04:00:00 02/05/2021 (UTC) by AudioMoth")


def test_rf64_tells_the_size_of_its_sound_elsewhere(tmp_path):
    guano = b"GUANO|Version: 1.0"
    ds64 = struct.pack("<QQQI", 0, 10, 5, 0)
    content = (
        b"RF64\xff\xff\xff\xffWAVE"
        + b"ds64"
        + struct.pack("<I", len(ds64))
        + ds64
        + b"data\xff\xff\xff\xff"
        + b"0123456789"
        + b"guan"
        + struct.pack("<I", len(guano))
        + guano
    )
    (tmp_path / "large.wav").write_bytes(content)
    assert read_tags(tmp_path / "large.wav")["guan"] == guano


def test_flac_comments(tmp_path):
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        file.comment = "Recorded at 04:00:00 02/05/2021 (UTC+10) by AudioMoth 247AA5075E06337D"
        file.artist = "ñ"
        file.write(np.zeros(8000))
    tags = read_tags(path)
    assert text_of(tags["COMMENT"]).startswith("Recorded at 04:00:00 02/05/2021 (UTC+10)")
    assert text_of(tags["ARTIST"]) == "ñ"


@pytest.mark.parametrize("num_bytes", [0, 3, 11, 14, 20, 45, 60, 75, 90, 120])
def test_cut_headers_give_what_is_there(tmp_path, write_wav, num_bytes):
    whole = write_wav(tmp_path / "whole.wav", info={"ICMT": "a comment of some length"})
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[:num_bytes])
    tags = read_tags(cut)
    assert set(tags) <= {"ICMT"}


def test_promises_of_gigabytes_cost_nothing(tmp_path):
    path = tmp_path / "liar.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + b"LIST\xfe\xff\xff\xffINFOICMT\xfe\xff\xff\xffhello")
    assert read_tags(path) == {"ICMT": b"hello"}
    (tmp_path / "flac").write_bytes(b"fLaC\x84\x00\x00\x08\xff\xff\xff\xff\xff\xff\xff\xff")
    assert read_tags(tmp_path / "flac") == {}


def test_other_files_have_none(tmp_path):
    (tmp_path / "text.wav").write_text("filename,labels\n")
    assert read_tags(tmp_path / "text.wav") == {}
    assert read_tags(tmp_path / "absent.wav") == {}
    assert read_tags(tmp_path) == {}


def test_texts_of_old_programs():
    assert text_of("Río".encode("cp1252") + b"\0\0junk") == "Río"
    assert text_of(b"\0") == ""
