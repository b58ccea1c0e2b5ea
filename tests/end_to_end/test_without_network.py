"""Everything in the field works where there is no network, and does not even look for one."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, write_bundle

SCRIPT = Path(__file__).with_name("without_network.py")
# Linux can take the network away from a process; elsewhere only Python is watched.
ALONE = ("unshare", "--net", "--map-root-user")


@cache
def prefix() -> tuple[str, ...]:
    """What to put before a command so that it has no network at all; nothing where that is not allowed."""
    if not shutil.which(ALONE[0]) or subprocess.run([*ALONE, "true"], check=False).returncode:
        return ()
    return ALONE


def run(words: list[list[str]], folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")
    command = [*prefix(), sys.executable, str(SCRIPT), str(folder / "words.json")]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8", cwd=folder)


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """A folder with two recordings and a model of a few thousand weights."""
    folder = tmp_path / "Grabación Ñandú"
    (folder / "card").mkdir(parents=True)
    for i in range(2):
        noise = np.random.default_rng(i).normal(0, 0.1, 48_000)
        soundfile.write(folder / "card" / f"S{i}_20240301_0530{i}0.wav", noise, 16_000)
    encoder = AudioEncoder(
        LogMelConfig.eat(), EATEncoder(EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=16))
    )
    head = ClassificationHead(HeadConfig(num_classes=2, prediction_mode="LIN_SOFTMAX"), 32)
    classifier = AudioClassifier(encoder, head, ("frog", "owl"), multi_label=True, target_length=64)
    write_bundle(bundle_of_classifier(classifier), folder / "m.pt")
    return folder


def test_no_command_of_the_field_needs_or_looks_for_a_network(season: Path) -> None:
    heard = ["--model_path", "m.pt", "--data_dir", "card", "--device", "cpu"]
    done = run(
        [
            ["audit", "card", "--report", "audit.html", "--model_path", "m.pt", "--device", "cpu"],
            ["embed", *heard, "--window_s", "1", "--output", "s.lance"],
            ["predict", *heard, "--output", "p.csv", "--events", "csv,raven", "--open_at", "0.01"],
            ["search", "s.lance", "--like", "card/S0_20240301_053000.wav", "--clips", "c"],
            ["clips", "--predictions", "p.csv", "--data_dir", "card", "--output_dir", "r"],
            ["histories", "p.csv.events/events.csv", "--data_dir", "card"],
            ["import-labels", "p.csv.events/events.csv", "--data_dir", "card", "--output", "l.csv"],
            ["evaluate", "p.csv", "--annotations", "p.csv.events/events.csv", "--data_dir", "card"],
            ["convert", "--model_path", "m.pt", "--output_path", "m2.pt"],
            ["doctor"],
        ],
        season,
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "audit.html",
        "p.csv",
        "c",
        "r/review.csv",
        "histories/effort.csv",
        "evaluation/report.html",
        "m2.pt",
    ):
        assert (season / name).exists(), name


def test_whoever_looked_would_be_caught(season: Path) -> None:
    """The watch is awake: a store on a server is looked for, and Python's way there ends the process."""
    (season / "asks.py").write_text(
        f"import sys\nsys.path.insert(0, {str(SCRIPT.parent)!r})\nimport without_network, socket\n"
        "sys.addaudithook(without_network.watch)\nsocket.create_connection(('127.0.0.1', 9), timeout=1)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, "asks.py"], cwd=season, capture_output=True, check=False)
    assert done.returncode == 9
