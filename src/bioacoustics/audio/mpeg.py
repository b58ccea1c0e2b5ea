"""MPEG: look into an MP3 file for what libsndfile does not say."""

from pathlib import Path

_LOOKED_AT_BYTES = 1 << 17  # some seconds of sound: a variable bit rate varies in them
_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")
_TAG_WITHIN_BYTES = 200  # of the start of the first frame
_KBITS_PER_S = {  # of layer III, by the version bits of the frame header
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2
    0: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2.5
}
_SAMPLE_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYER_III = 1


def has_untold_length(path: Path) -> bool:
    """Whether an MP3 has a variable bit rate and no table that tells its length.

    libsndfile guesses the length of such a file from the bit rate of its first frame, and stops reading
    there, wherever that is.
    """
    data = _sound_data(path)
    start = data.find(b"\xff")
    if any(tag in data[start : start + _TAG_WITHIN_BYTES] for tag in _LENGTH_TAGS):
        return False
    return len(_bit_rates(data, start)) > 1


def _sound_data(path: Path) -> bytes:
    """The first bytes after the ID3 tag, which may hold a picture of any size."""
    with path.open("rb") as file:
        head = file.read(10)
        num_tag_bytes = 0
        if head.startswith(b"ID3"):
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]  # seven bits a byte
            num_tag_bytes = 10 + size
        file.seek(num_tag_bytes)
        return file.read(_LOOKED_AT_BYTES)


def _bit_rates(data: bytes, start: int) -> set[int]:
    """The bit rates of the layer III frames that follow each other from `start` on."""
    rates: set[int] = set()
    while 0 <= start < len(data) - 4 and data[start] == 0xFF and data[start + 1] >= 0xE0:
        version, layer = data[start + 1] >> 3 & 3, data[start + 1] >> 1 & 3
        rate_index, hz_index, padding = (
            data[start + 2] >> 4,
            data[start + 2] >> 2 & 3,
            data[start + 2] >> 1 & 1,
        )
        if version == 1 or layer != _LAYER_III or rate_index in {0, 15} or hz_index == 3:
            break
        bits_per_s = 1000 * _KBITS_PER_S[version][rate_index]
        bytes_per_rate = 144 if version == 3 else 72  # samples per frame / 8
        rates.add(bits_per_s)
        start += bytes_per_rate * bits_per_s // _SAMPLE_RATES_HZ[version][hz_index] + padding
    return rates
