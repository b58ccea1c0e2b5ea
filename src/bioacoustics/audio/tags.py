"""Tags: what a recorder wrote about itself into a wav or flac file, beside the sound."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

Tags = Mapping[str, bytes]

_WANTED_CHUNKS = frozenset({"guan", "wamd", "bext"})
_MAX_TAG_BYTES = 1 << 20  # a damaged header may promise gigabytes
_MAX_CHUNKS = 256
_VORBIS_COMMENT = 4  # the type of FLAC's metadata block
_SIZE_IS_ELSEWHERE = 0xFFFF_FFFF  # in RF64: the chunk ds64 knows


def read_tags(path: Path) -> Tags:
    """The tags of a file by their names; nothing where the file has none, is damaged or of another kind.

    A wav gives its INFO texts (`ICMT`, `IART`, ...) and the chunks `guan` (GUANO), `wamd` (Wildlife
    Acoustics) and `bext` (Broadcast Wave), before or behind the sound; a flac its Vorbis comments, names in
    capitals. Only headers are read: the sound is passed over.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic in {b"RIFF", b"RF64", b"BW64"}:
                return _wav_tags(file)
            if magic == b"fLaC":
                return _flac_tags(file)
    except (OSError, struct.error):
        return {}
    return {}


def text_of(tag: bytes) -> str:
    """A tag as text: UTF-8 or else Windows-1252, without the zeros that pad it."""
    content = tag.split(b"\0", 1)[0]
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").strip()


def _wav_tags(file: BinaryIO) -> Tags:
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
        elif name == "LIST":
            tags.update(_info_texts(file.read(min(num_bytes, _MAX_TAG_BYTES))))
        elif name in _WANTED_CHUNKS:
            tags[name] = file.read(min(num_bytes, _MAX_TAG_BYTES))
        file.seek(start + num_bytes + num_bytes % 2)
    return tags


def _info_texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    if not content.startswith(b"INFO"):
        return
    position = 4
    while position + 8 <= len(content):
        name = content[position : position + 4].decode("latin-1")
        num_bytes = int.from_bytes(content[position + 4 : position + 8], "little")
        yield name, content[position + 8 : position + 8 + num_bytes]
        position += 8 + num_bytes + num_bytes % 2


def _flac_tags(file: BinaryIO) -> Tags:
    is_last = False
    while not is_last:
        header = file.read(4)
        if len(header) < 4:
            break
        is_last, kind = bool(header[0] & 0x80), header[0] & 0x7F
        num_bytes = int.from_bytes(header[1:], "big")
        if kind == _VORBIS_COMMENT:
            return dict(_vorbis_comments(file.read(num_bytes)))
        file.seek(num_bytes, 1)
    return {}


def _vorbis_comments(content: bytes) -> Iterator[tuple[str, bytes]]:
    position = 4 + struct.unpack_from("<I", content, 0)[0]  # behind the encoder's name
    (num_comments,) = struct.unpack_from("<I", content, position)
    position += 4
    for _ in range(num_comments):
        (num_bytes,) = struct.unpack_from("<I", content, position)
        name, _, value = content[position + 4 : position + 4 + num_bytes].partition(b"=")
        yield name.decode("latin-1").upper(), value
        position += 4 + num_bytes
