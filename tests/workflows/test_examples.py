"""Examples: classes by folder, recordings whatever the folder, and the list of negatives to listen to."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from bioacoustics.objectives.suspicion import Suspicion
from bioacoustics.workflows.examples import NO_CLASS, Examples, read_examples, write_suspicious

CLIPS = {
    "positive/song/XC1_1.wav",
    "positive/song/XC1_2.wav",
    "positive/song/XC2_1.wav",
    "positive/call/XC2_2.wav",
    "positive/call/XC3_1.wav",
    "negative/XC1_3.wav",
    "negative/XC4_1.wav",
    "negative/song/XC5_1.wav",  # a folder's name makes no positive of what lies in negative/
}


def examples_in(folder: Path, console: Console, share: float = 0.4) -> Examples:
    return read_examples(
        folder / "positive", folder / "negative", validation_share=share, seed=1, console=console
    )


@pytest.fixture
def campo(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    for seed, name in enumerate(sorted(CLIPS)):
        write_wav(tmp_path / name, np.random.default_rng(seed).uniform(-0.1, 0.1, 800))
    return tmp_path


def test_folders_of_positives_are_classes_and_negatives_have_none(campo: Path, console: Console) -> None:
    found = examples_in(campo, console)
    assert found.class_names == ("call", "song")
    assert found.num_positive == 5
    names = [recording.relative_path for recording in found.recordings]
    expected = [("call", "song").index(name.split("/")[0]) for name in names[:5]]
    assert list(found.classes) == [*expected, NO_CLASS, NO_CLASS, NO_CLASS]
    targets = found.targets()
    assert targets.shape == (8, 2)
    assert targets[:5].argmax(axis=1).tolist() == expected
    assert (targets.sum(axis=1) == [1, 1, 1, 1, 1, 0, 0, 0]).all()


def test_clips_of_one_recording_stay_together_in_whatever_folder(campo: Path, console: Console) -> None:
    found = examples_in(campo, console)
    by_recording: dict[str, set[int]] = {}
    for recording, number in zip(found.recordings, found.group_numbers(), strict=True):
        by_recording.setdefault(Path(recording.relative_path).name.split("_")[0], set()).add(number)
    assert all(len(numbers) == 1 for numbers in by_recording.values())
    assert len({min(numbers) for numbers in by_recording.values()}) == 5
    held_out = {found.groups[row] for row in found.split.valid}
    assert held_out
    assert not held_out & {found.groups[row] for row in found.split.train}


def test_without_folders_the_class_is_named_as_the_folder(
    tmp_path: Path, write_wav: Callable[..., Path], console: Console
) -> None:
    for name in ("positive/a1.wav", "positive/b2.wav", "negative/c3.wav"):
        write_wav(tmp_path / name)
    assert examples_in(tmp_path, console, share=0.0).class_names == ("positive",)


def test_the_list_of_suspicious_negatives_names_both_sides(campo: Path, console: Console) -> None:
    found = examples_in(campo, console)
    suspicion = Suspicion(
        items=torch.tensor([7, 5, 6]),
        similarities=torch.tensor([0.91234, 0.5, -0.25]),
        nearest_items=torch.tensor([0, 3, 0]),
    )
    write_suspicious(found, suspicion, campo / "suspicious.csv")
    with (campo / "suspicious.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [recording.relative_path for recording in found.recordings]
    assert [row["file"] for row in rows] == [names[7], names[5], names[6]]
    assert [row["similarity"] for row in rows] == ["0.9123", "0.5000", "-0.2500"]
    assert [row["most_similar_positive"] for row in rows] == [names[0], names[3], names[0]]
