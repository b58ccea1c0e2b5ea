"""What is cut is what lies there, sample by sample, at the native rate and with all channels."""

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.cutting import cut_to_file
from bioacoustics.audio.recordings import UnreadableAudioError, read_header

RATE_HZ = 44100
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (4 * RATE_HZ, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("subtype", "name", "cut_subtype", "tolerance"),
    [
        ("PCM_16", "a.wav", "PCM_16", 0),
        ("PCM_16", "a.flac", "PCM_16", 0),
        ("PCM_24", "a.wav", "PCM_24", 0),
        ("FLOAT", "a.wav", "FLOAT", 0),
        ("FLOAT", "a.flac", "PCM_24", 2**-23),
    ],
)
def test_cuts_are_exact(tmp_path, subtype, name, cut_subtype, tolerance):
    soundfile.write(tmp_path / "whole.wav", NOISE, RATE_HZ, subtype=subtype)
    whole = soundfile.read(tmp_path / "whole.wav")[0]
    path = tmp_path / "Espaço" / name
    cut_to_file(read_header(tmp_path / "whole.wav", tmp_path), 1.25, 2.5, path)
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == RATE_HZ
    assert soundfile.info(path).subtype == cut_subtype
    np.testing.assert_allclose(samples, whole[55125:110250], rtol=0, atol=tolerance)


def test_only_what_exists_is_cut(tmp_path):
    soundfile.write(tmp_path / "whole.ogg", NOISE, RATE_HZ)
    recording = read_header(tmp_path / "whole.ogg", tmp_path)
    cut_to_file(recording, 3.5, 10.0, tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").frames == RATE_HZ // 2
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    with pytest.raises(UnreadableAudioError, match=r"no sound can be decoded from 9\.00 to 10\.00 s"):
        cut_to_file(recording, 9.0, 10.0, tmp_path / "b.wav")
    assert not (tmp_path / "b.wav").exists()


def test_ultrasound_keeps_its_rate(shared, tmp_path):
    folder = shared / "data" / "odd"
    cut_to_file(read_header(folder / "ultrasonic_250k.wav", folder), 0.1, 0.2, tmp_path / "a.flac")
    assert (soundfile.info(tmp_path / "a.flac").samplerate, soundfile.info(tmp_path / "a.flac").frames) == (
        250_000,
        25_000,
    )
