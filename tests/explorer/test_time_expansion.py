"""A store made with --time_expansion keeps true times, plays slowed down, and its clips train as they are."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.labels import read_labels
from bioacoustics.explorer.collection import Collection, read_collection, with_labels
from bioacoustics.explorer.effort import effort_of
from bioacoustics.explorer.exporting import selection_tables
from bioacoustics.explorer.label_journal import LabelJournal, read_labels_into, write_labels
from bioacoustics.explorer.sounds import Sounds, flac_of
from bioacoustics.explorer.spectrograms import PRESETS, view_of
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.saved import bundle_of_pretraining, write_bundle
from bioacoustics.store.database import Store
from bioacoustics.workflows.embed import EmbedConfig, embed

EXPANSION, RATE_HZ, WINDOW_S = 10, 160_000, 0.064
CALL_HZ = 41_000


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """A bat of 41 kHz in every other window of two recordings of 160 kHz."""
    folder = tmp_path_factory.mktemp("murciélagos")
    torch.manual_seed(0)
    shape = EATConfig(embed_dim=16, depth=1, num_heads=2, num_position_columns=16)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(shape))
    decoder = EATDecoder(DecoderConfig(width=16, num_layers=1), 16)
    write_bundle(bundle_of_pretraining(encoder, decoder, EATEncoder(shape)), folder / "small.pt")
    rng = np.random.default_rng(0)
    time = np.arange(round(8 * WINDOW_S * RATE_HZ)) / RATE_HZ
    for name in ("a", "b"):
        sound = rng.normal(0, 0.01, len(time)) + 0.4 * np.sin(2 * np.pi * CALL_HZ * time) * (
            (time / WINDOW_S).astype(int) % 2 == 0
        )
        path = folder / "cards" / f"{name}_20260301_210000.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sound, RATE_HZ, subtype="PCM_16")
    config = EmbedConfig(
        model_path=folder / "small.pt",
        data_dir=folder / "cards",
        output=str(folder / "bats.lance"),
        window_s=WINDOW_S,
        time_expansion=EXPANSION,
        device="cpu",
    )
    embed(config, Console(file=io.StringIO()))
    return read_collection(config.output)


def pitch_of(samples: np.ndarray, rate_hz: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate_hz / len(samples))


def test_times_and_effort_are_true(collection: Collection) -> None:
    assert len(collection) == 16
    lengths = (collection.windows["end_s"] - collection.windows["start_s"]).to_numpy()
    assert np.allclose(lengths, WINDOW_S)
    assert effort_of(collection).total_h == pytest.approx(2 * 8 * WINDOW_S / 3600)
    rows = selection_tables(collection, np.array([2]), Sounds(collection.windows)).csv.decode().splitlines()
    assert f"{2 * WINDOW_S:.3f}" in rows[1]


def test_windows_are_played_as_slowly_as_the_model_heard_them(collection: Collection) -> None:
    view = view_of(collection.facts["front_end"]["time_expansion"])
    assert view.slowdown == EXPANSION
    assert view_of(1.0) == PRESETS["all"]
    cut = Sounds(collection.windows).cut(2)
    assert cut.end_s - cut.start_s == pytest.approx(WINDOW_S)
    samples, rate_hz = soundfile.read(io.BytesIO(flac_of(cut, view.slowdown)))
    assert len(samples) / rate_hz == pytest.approx(EXPANSION * WINDOW_S, abs=1e-3)
    assert pitch_of(samples, rate_hz) == pytest.approx(CALL_HZ / EXPANSION, rel=0.01)


def test_labels_go_out_and_come_back_and_their_clips_are_slowed(
    collection: Collection, tmp_path: Path
) -> None:
    store = Store.open(collection.location)
    calls = collection.windows["id"].iloc[[0, 2, 8]].tolist()
    LabelJournal(store, "ana").say(calls, "bat")
    assert with_labels(collection).windows["labels"].tolist().count("bat") == 3
    assert write_labels(store, tmp_path / "labels.csv", tmp_path / "audio") == 3
    table = read_labels(tmp_path / "labels.csv", tmp_path / "audio")
    assert len({clip.filename for clip in table.clips}) == 3
    for clip in table.clips:
        samples, rate_hz = soundfile.read(tmp_path / "audio" / clip.filename)
        assert rate_hz == RATE_HZ / EXPANSION
        assert len(samples) / rate_hz == pytest.approx(EXPANSION * WINDOW_S)
        assert pitch_of(samples, rate_hz) == pytest.approx(CALL_HZ / EXPANSION, rel=0.01)
    assert read_labels_into(store, tmp_path / "labels.csv", "bob") == 3
    said = store.rows("labels", ["window"], "who = 'bob'")["window"].to_pylist()
    assert sorted(said) == sorted(calls)


def test_windows_a_few_milliseconds_apart_are_not_confused(collection: Collection, tmp_path: Path) -> None:
    store = Store.open(collection.location)
    first = collection.windows.iloc[0]
    near = {"start_s": first["start_s"] + 0.004, "end_s": first["end_s"] + 0.004}
    moved = str(collection.windows["id"].iloc[1])
    store.table("windows").update(where=f"id = '{moved}'", values=near)
    path = tmp_path / "labels.csv"
    path.write_text(f"filename,labels,start_s\n{first['file']},bat,0.004\n", encoding="utf-8")
    assert read_labels_into(store, path, "carla") == 1
    assert store.rows("labels", ["window"], "who = 'carla'")["window"].to_pylist() == [moved]
