"""A pre-training run: what it leaves behind, continues from, refuses, and does not depend on."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bioacoustics.audio.recordings import Recording
from bioacoustics.data.splits import group_of
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import load_encoder, read_bundle
from bioacoustics.training.metrics import read_metrics
from bioacoustics.workflows.normalisation import measured_normalisation
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain
from bioacoustics.workflows.pretraining import split_recordings
from bioacoustics.workflows.survey import BadFiles, Outcome

PNG = b"\x89PNG\r\n\x1a\n"
Weights = dict[str, torch.Tensor]


def run(folder: Path, data_dir: Path, console: Console | None = None, **changes: Any) -> Outcome:
    settings = {
        "save_dir": folder,
        "data_dir": data_dir,
        "target_length": 64,
        "batch_size": 4,
        "num_clones": 2,
        "num_updates": 4,
        "log_every": 2,
        "validate_every": 2,
        "validation_share": 0.3,
        "device": "cpu",
    }
    config = PretrainConfig.model_validate({**settings, **changes})
    return pretrain(config, console or Console(file=io.StringIO()))


def weights(folder: Path) -> Weights:
    return read_bundle(folder / "checkpoint_last.pt").weights


def deviation(one: Weights, other: Weights, start: Weights) -> float:
    """How far apart two runs ended, as a share of the way they went.

    Biases of keys are left out: softmax ignores them, so their gradient is rounding noise, and Adam makes
    steps of full length of that.
    """
    names = [name for name, value in one.items() if value.is_floating_point() and "qkv.bias" not in name]
    apart = sum((one[name] - other[name]).square().sum() for name in names)
    way = sum((one[name] - start[name]).square().sum() for name in names)
    return float((apart / way).sqrt())


def test_run_folder_tells_what_the_run_was(
    tmp_path: Path, sounds: SyntheticDataset, console: Console, said: Callable[[], str]
) -> None:
    changes = {"model_size": "tiny", "seed": 7, "num_clones": 1}
    assert run(tmp_path / "run", sounds.unlabeled_dir, console, **changes).unusable == []
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("checkpoint_best.pt", "checkpoint_last.pt", "run_state.pt", "config.json", "environment.json"),
        *("metrics.jsonl", "losses.png", "problems.csv"),
    }
    assert (tmp_path / "run" / "losses.png").read_bytes().startswith(PNG)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["flags"]["seed"] == record["decisive"]["loop"]["seed"] == 7
    assert record["flags"]["data_dir"] == str(sounds.unlabeled_dir)
    assert PretrainConfig.model_validate(record["flags"]).model_size == "tiny"
    assert record["decisive"]["encoder"]["depth"] == 6
    start = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"][0]
    assert start["packages"]["torch"] == torch.__version__
    assert start["git"] is None or set(start["git"]) == {"commit", "has_changes"}
    rows = read_metrics(tmp_path / "run")
    assert [row["update"] for row in rows if "loss" in row] == [2, 4]
    assert [row["update"] for row in rows if "valid_loss" in row] == [2, 4]
    bundle = read_bundle(tmp_path / "run" / "checkpoint_best.pt")
    assert {name.partition(".")[0] for name in bundle.weights} == {"encoder", "decoder", "teacher"}
    assert "6 recordings, 0.00 hours" in said()
    assert "4 updates of 4 windows" in said()


def test_continues_from_its_own_checkpoint(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    changes: dict[str, Any] = {"num_updates": 1, "learning_rate": 1e-12, "ema_decay": 0.999999999}
    run(tmp_path, sounds.unlabeled_dir, model_path=small_model, **changes)
    ends, starts = weights(tmp_path), read_bundle(small_model).weights
    assert ends.keys() == starts.keys()
    torch.testing.assert_close(ends, starts, rtol=0, atol=1e-6)
    different = [
        name
        for name in starts
        if name.startswith("encoder.")
        and not torch.equal(starts[name], starts["teacher." + name.removeprefix("encoder.")])
    ]
    assert different  # student and teacher were not mixed up


@pytest.mark.parametrize("name", ["pretrain_p1.pt", "hf_pretrain"])
def test_continues_from_published_models(
    tmp_path: Path,
    sounds: SyntheticDataset,
    golden_eat: Path,
    console: Console,
    said: Callable[[], str],
    name: str,
) -> None:
    changes: dict[str, Any] = {"num_updates": 1, "learning_rate": 1e-12, "ema_decay": 0.999999999}
    run(tmp_path, sounds.unlabeled_dir, console, model_path=golden_eat / name, **changes)
    published = read_bundle(golden_eat / name)
    ended = read_bundle(tmp_path / "checkpoint_last.pt")
    for key, value in published.weights.items():
        torch.testing.assert_close(ended.weights[key], value.float(), rtol=0, atol=1e-6)
    assert ended.header.encoder == published.header.encoder
    assert ended.header.decoder is not None
    has_decoder = published.header.decoder is not None
    assert ("has no decoder" in said()) != has_decoder
    if not has_decoder:  # the teacher starts as the student's copy
        student = [value for key, value in ended.weights.items() if key.startswith("encoder.")]
        teacher = [value for key, value in ended.weights.items() if key.startswith("teacher.")]
        torch.testing.assert_close(student, teacher, rtol=0, atol=1e-6)


def test_what_was_measured_travels_with_the_model(tmp_path: Path, sounds: SyntheticDataset) -> None:
    changes = {"model_size": "tiny", "num_clones": 1, "num_updates": 1, "normalisation": "measured"}
    run(tmp_path, sounds.unlabeled_dir, **changes)
    config = load_encoder(tmp_path / "checkpoint_best.pt").front_end.config
    assert (config.mean, config.std) != (-4.268, 4.569)
    recordings = recordings_of(sounds.unlabeled_dir)
    training, _ = split_recordings(recordings, 0.3)
    assert config == measured_normalisation(type(config).eat(), training, seed=1)


def recordings_of(folder: Path) -> tuple[Recording, ...]:
    from bioacoustics.audio.recordings import scan_recordings

    return scan_recordings(folder).recordings


def test_a_loaded_model_keeps_the_normalisation_that_it_was_trained_with(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    with pytest.raises(ValueError, match="--normalisation measured does not go with --model_path"):
        run(tmp_path, sounds.unlabeled_dir, model_path=small_model, normalisation="measured")


@pytest.mark.parametrize(
    "split",
    [{"batch_size": 2, "update_freq": 2}, {"micro_batch_size": 3}, {"batch_size": 1, "update_freq": 4}],
)
def test_accumulation_equals_the_larger_batch(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path, split: dict[str, int]
) -> None:
    ends = []
    for name, changes in (("whole", {}), ("split", split)):
        run(tmp_path / name, sounds.unlabeled_dir, model_path=small_model, **changes)
        ends.append(weights(tmp_path / name))
    assert deviation(ends[0], ends[1], read_bundle(small_model).weights) < 2e-3
    losses = [
        [row.get("loss", row.get("valid_loss")) for row in read_metrics(tmp_path / n)]
        for n in ("whole", "split")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_same_seed_same_bits(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    names = ("one", "again", "threads", "seed")
    for name, changes in zip(names, ({}, {}, {"num_threads": 1}, {"seed": 2}), strict=True):
        torch.manual_seed(len(name))
        run(tmp_path / name, sounds.unlabeled_dir, model_path=small_model, **changes)
    files = [(tmp_path / name / "checkpoint_last.pt").read_bytes() for name in names]
    assert files[0] == files[1] == files[2] != files[3]


def test_new_models_follow_from_the_seed(tmp_path: Path, sounds: SyntheticDataset) -> None:
    changes: dict[str, Any] = {"model_size": "tiny", "num_clones": 1, "num_updates": 1, "batch_size": 1}
    for name in ("one", "again"):
        torch.rand(3)
        run(tmp_path / name, sounds.unlabeled_dir, **changes)
    assert (tmp_path / "one" / "checkpoint_last.pt").read_bytes() == (
        tmp_path / "again" / "checkpoint_last.pt"
    ).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e-3}, "optimizer.learning_rate was 0.0005, now 0.001"),
        ({"seed": 2}, "loop.seed was 1, now 2"),
        ({"mask_ratio": 0.75}, "objective.mask.mask_ratio was 0.8, now 0.75"),
        ({"num_updates": 5}, r"optimizer.num_updates was 4, now 5 \(the learning-rate schedule"),
        ({"batch_size": 8}, "data.rows_per_update was 4, now 8"),
        ({"channel": 0}, "channel was 'mix', now 0"),
        ({"validation_share": 0.0}, "data.num_windows was"),
    ],
)
def test_changed_settings_are_refused_by_name(
    finished: tuple[Path, Path], sounds: SyntheticDataset, changes: dict[str, Any], message: str
) -> None:
    folder, model = finished
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=message):
        run(folder, sounds.unlabeled_dir, model_path=model, **changes)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, sounds: SyntheticDataset, small_model: Path
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("finished")
    run(folder, sounds.unlabeled_dir, model_path=small_model)
    return folder, small_model


def test_a_finished_run_is_left_as_it_is(finished: tuple[Path, Path], sounds: SyntheticDataset) -> None:
    folder, model = finished
    models = [folder / "checkpoint_best.pt", folder / "checkpoint_last.pt"]
    before = [path.read_bytes() for path in models]
    run(folder, sounds.unlabeled_dir, model_path=model)
    assert [path.read_bytes() for path in models] == before


def broken_flac(path: Path) -> None:
    """A file whose header promises 2 s of sound, of which nothing can be decoded."""
    noise = np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)
    soundfile.write(path, noise, 16_000)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\x55" * (len(content) - 100))


def test_windows_that_cannot_be_read_are_replaced_and_listed(
    tmp_path: Path, small_model: Path, console: Console, said: Callable[[], str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in range(6):
        noise = np.random.default_rng(name).normal(0, 0.1, 16_000).astype(np.float32)
        soundfile.write(data / f"{name}.wav", noise, 16_000)
    broken_flac(data / "[dead].flac")
    (data / "text.wav").write_text("filename,labels\n")
    outcome = run(tmp_path / "run", data, console, model_path=small_model, validation_share=0.0)
    with (tmp_path / "run" / "problems.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    left_out = {row["path"] for row in rows if row["was_left_out"] == "yes"}
    assert left_out == {"[dead].flac", "text.wav"}
    assert {file.relative_path for file in outcome.unusable} == left_out
    assert "text.wav: it is a text file, not sound" in said()
    assert "[dead].flac: no sound can be decoded" in said()
    assert [row["update"] for row in read_metrics(tmp_path / "run")] == [2, 4]


def test_bad_files_can_stop_a_run_before_it_begins(tmp_path: Path, small_model: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    soundfile.write(data / "a.wav", np.ones(16_000, np.float32), 16_000)
    (data / "text.wav").write_text("filename,labels\n")
    with pytest.raises(
        ValueError, match=r"1 file\(s\) cannot be used, the first is text.wav.*--bad_files report"
    ):
        run(tmp_path / "run", data, model_path=small_model, bad_files=BadFiles.STOP)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverged_does_not_end_well(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    changes: dict[str, Any] = {"model_path": small_model, "learning_rate": 1e30, "num_updates": 8}
    with pytest.raises(ValueError, match=r"were not finite.*Lower --learning_rate"):
        run(tmp_path, sounds.unlabeled_dir, **changes)


def test_every_window_unreadable_is_an_error_that_says_why(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    with pytest.raises(ValueError, match="there is no channel 3: it has 1, counted from 0"):
        run(tmp_path / "run", sounds.unlabeled_dir, model_path=small_model, channel=3)


def test_an_empty_folder_is_said(tmp_path: Path, small_model: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    with pytest.raises(ValueError, match="holds no usable recording"):
        run(tmp_path / "run", tmp_path, model_path=small_model)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        run(tmp_path / "run", tmp_path / "nowhere", model_path=small_model)


def test_one_recording_is_enough(tmp_path: Path, sounds: SyntheticDataset, small_model: Path) -> None:
    run(tmp_path, sounds.long_recording, model_path=small_model)
    assert (tmp_path / "checkpoint_best.pt").read_bytes() == (tmp_path / "checkpoint_last.pt").read_bytes()
    assert not any("valid_loss" in row for row in read_metrics(tmp_path))


NAMES = st.lists(
    st.sampled_from(
        [
            f"{site}/{site}_2024{day:04}_05{minute:02}00{part}.wav"
            for site in "ab"
            for day in (101, 102)
            for minute in (0, 30)
            for part in ("", "_0_5", "_5_10")
        ]
    ),
    min_size=1,
    unique=True,
)


@given(names=NAMES, share=st.floats(0, 0.99))
def test_one_recording_is_never_on_both_sides(names: list[str], share: float) -> None:
    recordings = [
        Recording(
            path=Path(name),
            relative_path=name,
            sample_rate_hz=16_000,
            num_channels=1,
            num_samples=16_000,
            container="WAV",
        )
        for name in names
    ]
    training, held_out = split_recordings(recordings, share)
    assert sorted(r.relative_path for r in [*training, *held_out]) == sorted(names)
    groups = [{group_of(r.relative_path) for r in side} for side in (training, held_out)]
    assert not groups[0] & groups[1]
    assert training
    assert bool(held_out) == (share > 0 and len(groups[0] | groups[1]) > 1)
    for i in range(len(recordings)):  # a recording keeps its side when another one goes, but for the last
        _, without = split_recordings(recordings[:i] + recordings[i + 1 :], share)
        if len(groups[1]) > 1 and len(groups[0]) > 1:
            assert {r.relative_path for r in without} <= {r.relative_path for r in held_out}
