"""Chunks: the tags of wav, W64 and AIFF, which are all made of chunks with a name and a size."""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from bioacoustics.audio.id3 import id3_tags

_MAX_TAG_BYTES = 1 << 20  # a damaged header may promise gigabytes
_WANTED_CHUNKS = frozenset({"guan", "wamd", "bext"})
_MAX_CHUNKS = 256
_SIZE_IS_ELSEWHERE = 0xFFFF_FFFF  # in RF64: the chunk ds64 knows
_W64_FIRST_CHUNK = 40  # behind the identifiers of riff and wave and the size of all
_W64_HEADER_BYTES = 24  # an identifier of 16 bytes and a size of 8, which counts them
_AIFF_TEXTS = {"NAME": "TITLE", "AUTH": "ARTIST", "ANNO": "COMMENT", "COMT": "COMMENT"}


def wav_tags(file: BinaryIO) -> dict[str, bytes]:
    """The tags of a RIFF, RF64 or BW64 file."""
    file.seek(12)  # RIFF, its size, WAVE
    tags: dict[str, bytes] = {}
    data_bytes = 0
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, num_bytes = header[:4].decode("latin-1"), int.from_bytes(header[4:], "little")
        start = file.tell()
        if name == "ds64":
            data_bytes = struct.unpack("<Q", file.read(16)[8:])[0]
        elif name == "data" and num_bytes == _SIZE_IS_ELSEWHERE:
            num_bytes = data_bytes
        else:
            _add_riff_chunk(tags, name, num_bytes, file)
        file.seek(start + num_bytes + num_bytes % 2)
    return tags


def w64_tags(file: BinaryIO) -> dict[str, bytes]:
    """The tags of a Sony Wave64 file: chunks as in wav, whose identifiers begin with the wav's names."""
    file.seek(_W64_FIRST_CHUNK)
    tags: dict[str, bytes] = {}
    for _ in range(_MAX_CHUNKS):
        header = file.read(_W64_HEADER_BYTES)
        if len(header) < _W64_HEADER_BYTES:
            break
        name = header[:4].decode("latin-1").replace("list", "LIST")
        num_bytes = int.from_bytes(header[16:], "little") - _W64_HEADER_BYTES
        if not 0 <= num_bytes < 1 << 62:
            break
        start = file.tell()
        _add_riff_chunk(tags, name, num_bytes, file)
        file.seek(start + num_bytes + -num_bytes % 8)
    return tags


def aiff_tags(file: BinaryIO) -> dict[str, bytes]:
    """The texts of an AIFF or AIFC file under the names that flac gives them, and its ID3 tag."""
    file.seek(12)  # FORM, its size, AIFF or AIFC
    tags: dict[str, bytes] = {}
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            break
        name, num_bytes = header[:4].decode("latin-1"), int.from_bytes(header[4:], "big")
        start = file.tell()
        if name in _AIFF_TEXTS:
            content = file.read(min(num_bytes, _MAX_TAG_BYTES))
            tags[_AIFF_TEXTS[name]] = _first_comment(content) if name == "COMT" else content
        elif name == "ID3 ":
            tags.update(id3_tags(BytesIO(file.read(min(num_bytes, _MAX_TAG_BYTES)))))
        file.seek(start + num_bytes + num_bytes % 2)
    return tags


def _add_riff_chunk(tags: dict[str, bytes], name: str, num_bytes: int, file: BinaryIO) -> None:
    if name == "LIST":
        tags.update(_info_texts(file.read(min(num_bytes, _MAX_TAG_BYTES))))
    elif name in _WANTED_CHUNKS:
        tags[name] = file.read(min(num_bytes, _MAX_TAG_BYTES))


def _info_texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    if not content.startswith(b"INFO"):
        return
    position = 4
    while position + 8 <= len(content):
        name = content[position : position + 4].decode("latin-1")
        num_bytes = int.from_bytes(content[position + 4 : position + 8], "little")
        yield name, content[position + 8 : position + 8 + num_bytes]
        position += 8 + num_bytes + num_bytes % 2


def _first_comment(content: bytes) -> bytes:
    """The text of the first of several: number, then time stamp, marker, length and text of each."""
    (num_bytes,) = struct.unpack_from(">H", content, 8)
    return content[10 : 10 + num_bytes]
