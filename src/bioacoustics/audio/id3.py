"""ID3: the tags at the start of an MP3, versions 2.2 to 2.4 (id3.org)."""

from collections.abc import Iterator
from typing import BinaryIO

_MAX_TAG_BYTES = 1 << 20  # a picture may follow; what a recorder wrote is short
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40
_NAMES = {
    **{"TIT2": "TITLE", "TPE1": "ARTIST", "COMM": "COMMENT"},
    **{"TT2": "TITLE", "TP1": "ARTIST", "COM": "COMMENT"},  # version 2.2 has three letters
}
_FREE = frozenset({"TXXX", "TXX"})  # texts that bring a name of their own
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")


def id3_tags(file: BinaryIO) -> dict[str, bytes]:
    """The texts under the names that flac gives them: COMMENT, ARTIST, TITLE; own names in capitals."""
    header = file.read(10)
    if len(header) < 10 or not header.startswith(b"ID3") or header[3] not in {2, 3, 4}:
        return {}
    version, flags = header[3], header[5]
    content = file.read(min(_seven_bits(header[6:10]), _MAX_TAG_BYTES))
    if flags & _UNSYNCHRONISED and version < 4:
        content = content.replace(b"\xff\x00", b"\xff")
    if flags & _EXTENDED and version > 2:
        size = _seven_bits(content[:4]) if version == 4 else 4 + int.from_bytes(content[:4], "big")
        content = content[size:]
    tags: dict[str, bytes] = {}
    for frame, body in _frames(content, version):
        name, text = _told(frame, body)
        if name and text:
            tags.setdefault(name, text.encode("utf-8"))
    return tags


def _frames(content: bytes, version: int) -> Iterator[tuple[str, bytes]]:
    name_bytes, header_bytes = (3, 6) if version == 2 else (4, 10)
    position = 0
    while position + header_bytes <= len(content) and content[position]:
        name = content[position : position + name_bytes].decode("latin-1")
        size = content[position + name_bytes : position + 2 * name_bytes]
        num_bytes = _seven_bits(size) if version == 4 else int.from_bytes(size, "big")
        position += header_bytes
        body = content[position : position + num_bytes]
        if version == 4 and content[position - 1] & 0x02:  # this frame is unsynchronised
            body = body.replace(b"\xff\x00", b"\xff")
        yield name, body
        position += num_bytes


def _told(frame: str, body: bytes) -> tuple[str, str]:
    """Name and text of a frame; empty where it holds something else."""
    if frame not in _NAMES and frame not in _FREE:
        return "", ""
    if not body or body[0] >= len(_ENCODINGS):
        return "", ""
    is_comment = _NAMES.get(frame) == "COMMENT"
    texts = body[4 if is_comment else 1 :].decode(
        _ENCODINGS[body[0]], "replace"
    )  # a comment tells its language
    parts = [part.removeprefix("\ufeff").strip() for part in texts.split("\0")]
    if frame in _FREE:
        return parts[0].upper(), parts[1] if len(parts) > 1 else ""
    if is_comment:  # what it is about, then the comment
        return "" if parts[0].startswith("iTun") else "COMMENT", parts[1] if len(parts) > 1 else ""
    return _NAMES[frame], parts[0]


def _seven_bits(content: bytes) -> int:
    """A number of which each byte holds seven bits."""
    number = 0
    for byte in content:
        number = number << 7 | byte & 0x7F
    return number
