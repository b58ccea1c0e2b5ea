"""Tags: what a recorder wrote about itself into a file, beside the sound."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from bioacoustics.audio.chunks import aiff_tags, w64_tags, wav_tags
from bioacoustics.audio.id3 import id3_tags
from bioacoustics.audio.vorbis_comments import flac_comments, ogg_comments

Tags = Mapping[str, bytes]

_READERS: Mapping[bytes, Callable[[BinaryIO], Tags]] = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), wav_tags),
    b"riff": w64_tags,
    b"FORM": aiff_tags,
    b"fLaC": flac_comments,
    b"OggS": ogg_comments,
    b"ID3": id3_tags,
}


def read_tags(path: Path) -> Tags:
    """The tags of a file by their names; nothing where the file has none, is damaged or of another kind.

    A wav or W64 gives its INFO texts (`ICMT`, `IART`, ...) and the chunks `guan` (GUANO), `wamd` (Wildlife
    Acoustics) and `bext` (Broadcast Wave), before or behind the sound; a flac, Ogg Vorbis or Opus its
    comments, names in capitals; an AIFF its texts and an MP3 its ID3 tag under the same names as those
    (`COMMENT`, `ARTIST`, ...). Only headers are read: the sound is passed over.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            kind = next((kind for magic, kind in _READERS.items() if head.startswith(magic)), None)
            return kind(file) if kind else {}
    except (OSError, struct.error):
        return {}


def text_of(tag: bytes) -> str:
    """A tag as text: UTF-8 or else Windows-1252, without the zeros that pad it."""
    content = tag.split(b"\0", 1)[0]
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").strip()
