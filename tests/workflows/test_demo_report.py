"""The demo's page holds what is there, leaves out what is not, and survives files that cannot be shown."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.workflows.demo_report import TEXTS, DemoStory, demo_page

METRICS = [{"update": 1, "loss": 2.0, "learning_rate": 0.1}, {"update": 2, "loss": 1.0, "learning_rate": 0.1}]


def story_of(folder: Path, sounds: SyntheticDataset, *, has_labels: bool = True) -> DemoStory:
    """What a demo leaves, written by hand."""
    story = DemoStory(
        output_dir=folder,
        is_synthetic=True,
        unlabeled_dir=sounds.unlabeled_dir,
        audio_dir=sounds.audio_dir if has_labels else None,
        labels_csv=sounds.labels_csv if has_labels else None,
        recordings_dir=sounds.long_recording.parent,
        elapsed_s=90.0,
    )
    for run_dir in (story.pretrain_dir, story.finetune_dir):
        run_dir.mkdir()
        (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in METRICS))
    with sounds.labels_csv.open(newline="") as file:
        clips = [(row["filename"], row["labels"]) for row in csv.DictReader(file)][:8]
    labels = sorted({label for _, label in clips})
    rows = [[name, label, *(f"{float(label == other):.4f}" for other in labels)] for name, label in clips]
    write(story.finetune_dir / "predictions.csv", ["file", "labels", *(f"p({x})" for x in labels)], rows)
    scores = [[label, "3", "1", "0.5" if i else ""] for i, label in enumerate(labels)]
    write(
        story.finetune_dir / "per_class.csv",
        ["label", "num_training", "num_held_out", "average_precision"],
        scores,
    )
    write(
        folder / "predictions.csv", ["file", "predicted", "probability"], [["long.wav", "<b>fox</b>", "0.75"]]
    )
    return story


def write(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def html_of(story: DemoStory, language: str = "en") -> str:
    path = story.output_dir / "report.html"
    demo_page(story, language).write(path)  # type: ignore[arg-type]
    return path.read_text(encoding="utf-8")


def test_every_text_is_in_both_languages() -> None:
    assert all(set(texts) == {"en", "es"} and texts["en"] != texts["es"] for texts in TEXTS.values())


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_page_holds_everything(tmp_path: Path, sounds: SyntheticDataset, language: str) -> None:
    page = html_of(story_of(tmp_path, sounds), language)
    for key in ("title", "sounds", "learned", "tuned", "scores", "confused", "long", "next_own", "next_tune"):
        assert TEXTS[key][language] in page, key  # type: ignore[index]
    assert page.count("data:image/png;base64,") == 5
    assert "100 %" in page  # all named rightly
    assert "1.5 min" in page
    assert "&lt;b&gt;fox&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from anywhere


def test_without_labels_it_shows_recordings(tmp_path: Path, sounds: SyntheticDataset) -> None:
    story = story_of(tmp_path, sounds, has_labels=False)
    story.recordings_dir = None
    page = html_of(story)
    assert page.count("data:image/png;base64,") == 2
    assert TEXTS["scores"]["en"] not in page
    assert TEXTS["long"]["en"] not in page


def test_recordings_that_cannot_be_shown_are_left_out(tmp_path: Path, sounds: SyntheticDataset) -> None:
    unlabeled = tmp_path / "unlabeled"
    unlabeled.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    soundfile.write(unlabeled / "dead.flac", noise, 16_000)
    content = (unlabeled / "dead.flac").read_bytes()
    (unlabeled / "dead.flac").write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    soundfile.write(unlabeled / "blink.wav", noise[:100], 16_000)
    story = story_of(tmp_path, sounds, has_labels=False)
    story.unlabeled_dir = unlabeled
    assert TEXTS["sounds"]["en"] not in html_of(story)
    soundfile.write(unlabeled / "ok.wav", noise, 16_000)
    page = html_of(story)
    assert "ok.wav" in page
    assert "blink.wav" not in page


def test_a_clip_that_has_gone_is_left_out(tmp_path: Path, sounds: SyntheticDataset) -> None:
    story = story_of(tmp_path, sounds)
    empty = tmp_path / "empty"
    empty.mkdir()
    story.audio_dir = empty
    assert TEXTS["sounds"]["en"] not in html_of(story)
    shutil.copytree(sounds.audio_dir, empty, dirs_exist_ok=True)
    assert TEXTS["sounds"]["en"] in html_of(story)
