"""Teach: a visitor labels, takes back, and saves a classifier that `predict` runs over the recordings."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from rich.console import Console
from small_store import KINDS, RATE_HZ, WINDOW_S, sound_of
from visitor import Served, Visitor, arrive, serve

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.explorer.label_journal import statements
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, write_bundle
from bioacoustics.store.database import Store
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.predict import PredictConfig, predict

pytestmark = pytest.mark.slow
QUIET = Console(file=io.StringIO())


NUM_WINDOWS = 10  # of each recording


@dataclass(frozen=True)
class Heard:
    """Recordings that a real encoder has heard, two of each kind of sound, named by it."""

    cards: Path
    store: Path


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    folder, rng = tmp_path_factory.mktemp("enseñanza"), np.random.default_rng(0)
    (folder / "cards").mkdir()
    for kind in KINDS:
        for number in range(2):
            sound = np.concatenate([sound_of(kind, rng) for _ in range(NUM_WINDOWS)])
            soundfile.write(folder / "cards" / f"{kind}_{number}.wav", sound, RATE_HZ)
    torch.manual_seed(0)
    small = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)
    write_bundle(
        bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(small))), folder / "encoder.pt"
    )
    store = folder / "heard.lance"
    settings: dict[str, Any] = {
        "model_path": folder / "encoder.pt", "data_dir": folder / "cards", "output": str(store),
        "window_s": WINDOW_S, "pooling": "mean", "device": "cpu",
    }  # fmt: skip
    embed(EmbedConfig.model_validate(settings), QUIET)
    return Heard(folder / "cards", store)


@pytest.fixture(scope="module")
def served(heard: Heard) -> Iterator[Served]:
    config = OpeningConfig(store=heard.store, language="en", browser=False)
    with serve(config, heard.store.with_name("cache")) as page:
        yield page


@pytest.fixture(scope="module")
def arrival(browser: Any, served: Served) -> Iterator[Visitor]:
    yield from arrive(browser, served)


def label(visitor: Visitor, file: str, *, is_there: bool) -> None:
    """Select the windows of a recording, write what they are about, and say whether it is there."""
    search = visitor.page.get_by_placeholder("file, label")
    search.fill("")  # what was shown and selected before must not be taken for what is asked for now
    search.press("Enter")
    visitor.page.get_by_role("button", name="Select nothing (Esc)").first.click()
    visitor.wait(".map", "data-selected", "0")
    visitor.wait(".map", "data-shown", lambda shown: int(shown) > NUM_WINDOWS)
    visitor.settle()
    search.fill(file)
    search.press("Enter")
    visitor.settle()
    visitor.wait(".map", "data-shown", str(NUM_WINDOWS))
    visitor.press("Select these")
    visitor.wait(".map", "data-selected", str(NUM_WINDOWS))
    visitor.settle()
    box = visitor.page.get_by_role("combobox", name="Label", exact=True).first
    box.fill("frog")
    box.press("Enter")
    visitor.settle()
    visitor.page.locator(f".st-key-label_{'yes' if is_there else 'no'} button").first.click()


def labelled(heard: Heard) -> tuple[int, int]:
    """How many windows hold it and how many do not, as the store knows it."""
    found = statements(Store.open(heard.store))["is_present"].astype(bool)
    return int(found.sum()), int((~found).sum())


def test_labels_are_given_and_taken_back(visitor: Visitor, heard: Heard) -> None:
    visitor.visit(method="pca", k=3, panel="teach")
    label(visitor, "frog_0", is_there=True)
    visitor.until(lambda: labelled(heard) == (10, 0))
    visitor.settle()
    visitor.page.locator(".st-key-undo button").click()
    visitor.see("Taken back: frog in 10 windows")
    assert labelled(heard) == (0, 0)


def test_a_classifier_is_taught_saved_and_heard_by_predict(
    visitor: Visitor, heard: Heard, tmp_path: Path
) -> None:
    for number, file in enumerate(("frog_0", "frog_1", "bird_0", "rain_0")):
        label(visitor, file, is_there=file.startswith("frog"))
        visitor.until(lambda number=number: sum(labelled(heard)) == NUM_WINDOWS * (number + 1))
    assert labelled(heard) == (20, 20)
    visitor.until(lambda: visitor.cells()[1][:3] == ["frog", "20", "20"])
    visitor.settle()
    visitor.page.get_by_label("Name of the classifier").fill("ranas")
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    visitor.press("Save")
    visitor.see("Run it over everything")
    (model,) = heard.store.parent.rglob("ranas*")
    output = tmp_path / "said.csv"
    settings = {"model_path": model, "data_dir": heard.cards, "output": str(output), "per": "window"}
    predict(PredictConfig.model_validate({**settings, "device": "cpu"}), QUIET)
    scores = pd.read_csv(output).groupby("file")["p(frog)"].median()
    assert len(scores) == 6
    is_frog = scores.index.str.startswith("frog")
    assert scores[is_frog].min() > 0.5 > scores[~is_frog].max()
