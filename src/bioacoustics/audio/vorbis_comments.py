"""Vorbis comments: the tags of flac, Ogg Vorbis, Opus and flac in Ogg, each a NAME=value."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

_COMMENT_BLOCK = 4  # the type of FLAC's metadata block
_OGG_FLAC = b"\x7fFLAC"
_MARKS = (b"\x03vorbis", b"OpusTags")  # what the packet with the comments begins with
_MAX_PACKETS = 64
_MAX_PACKET_BYTES = 1 << 20  # comments may hold a picture; what a recorder wrote comes before it
_PAGE_HEADER_BYTES = 27


def flac_comments(file: BinaryIO) -> dict[str, bytes]:
    """The comments of a flac file from its start; names in capitals."""
    file.seek(4)
    is_last = False
    while not is_last:
        header = file.read(4)
        if len(header) < 4:
            break
        is_last, kind = bool(header[0] & 0x80), header[0] & 0x7F
        num_bytes = int.from_bytes(header[1:], "big")
        if kind == _COMMENT_BLOCK:
            return _comments_in(file.read(num_bytes))
        file.seek(num_bytes, 1)
    return {}


def ogg_comments(file: BinaryIO) -> dict[str, bytes]:
    """The comments of an Ogg file from its start, whatever of Vorbis, Opus and flac is in it."""
    is_flac = False
    for number, packet in enumerate(_packets(file)):
        if number == 0:
            is_flac = packet.startswith(_OGG_FLAC)
            continue
        if is_flac and packet and packet[0] & 0x7F == _COMMENT_BLOCK:
            return _comments_in(packet[4:])
        mark = next((mark for mark in _MARKS if packet.startswith(mark)), None)
        if mark is not None:
            return _comments_in(packet[len(mark) :])
        if not is_flac or number == _MAX_PACKETS:
            break
    return {}


def _packets(file: BinaryIO) -> Iterator[bytes]:
    """The packets of the first stream; one may run over several pages (RFC 3533)."""
    packet, serial = b"", None
    while True:
        header = file.read(_PAGE_HEADER_BYTES)
        if len(header) < _PAGE_HEADER_BYTES or not header.startswith(b"OggS"):
            return
        lengths = file.read(header[26])
        content = file.read(sum(lengths))
        serial = header[14:18] if serial is None else serial
        if header[14:18] != serial:
            continue
        position = 0
        for length in lengths:
            if len(packet) < _MAX_PACKET_BYTES:
                packet += content[position : position + length]
            position += length
            if length < 255:  # a full segment is continued by the next
                yield packet
                packet = b""


def _comments_in(content: bytes) -> dict[str, bytes]:
    """All comments, or where the list is cut off those before."""
    comments: dict[str, bytes] = {}
    try:
        for name, value in _entries(content):
            comments.setdefault(name, value)
    except struct.error:
        pass
    return comments


def _entries(content: bytes) -> Iterator[tuple[str, bytes]]:
    position = 4 + struct.unpack_from("<I", content, 0)[0]  # behind the encoder's name
    (num_comments,) = struct.unpack_from("<I", content, position)
    position += 4
    for _ in range(num_comments):
        (num_bytes,) = struct.unpack_from("<I", content, position)
        name, _, value = content[position + 4 : position + 4 + num_bytes].partition(b"=")
        yield name.decode("latin-1").upper(), value
        position += 4 + num_bytes
