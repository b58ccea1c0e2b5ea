"""What was taught on stored vectors, `predict` hears in the recordings themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.explorer.collection import Collection, read_collection
from bioacoustics.explorer.label_journal import LabelJournal, statements, targets_of
from bioacoustics.explorer.principal import fit_components
from bioacoustics.explorer.teaching import Taught, teach
from bioacoustics.models.saved import read_bundle, read_classifier_bundle
from bioacoustics.store.database import Store
from bioacoustics.workflows.embed import EmbedConfig, embed
from bioacoustics.workflows.predict import PredictConfig, predict
from bioacoustics.workflows.teach import write_taught_classifier


def taught_on(
    folder: Path, model: Path, sounds: SyntheticDataset, console: Console, **changes: Any
) -> tuple[Collection, Taught]:
    settings = {
        "model_path": model,
        "data_dir": sounds.audio_dir,
        "window_s": 0.73,
        "device": "cpu",
    }
    store = folder / "vectors.lance"
    for output in (store, folder / "exact.parquet"):
        embed(EmbedConfig.model_validate({**settings, **changes, "output": str(output)}), console)
    collection = read_collection(store)
    journal = LabelJournal(Store.open(store), "ana")
    vectors = collection.rows(np.arange(len(collection)))
    order = np.argsort(
        fit_components(vectors, 1).apply(vectors)[:, 0]
    )  # something that the model tells apart
    journal.say(collection.windows["id"][order[:16]].tolist(), "coquí")
    journal.say(collection.windows["id"][order[-16:]].tolist(), "grillo")
    names, targets = targets_of(collection.windows["id"].tolist(), statements(journal.store))
    recordings = collection.windows["recording"].astype(str).tolist()
    return collection, teach(collection.vectors, names, targets, recordings)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_predict_gives_the_probabilities_of_the_teacher(
    tmp_path: Path, small_model: Path, sounds: SyntheticDataset, console: Console, pooling: str
) -> None:
    collection, taught = taught_on(tmp_path, small_model, sounds, console, pooling=pooling)
    path = write_taught_classifier(
        tmp_path / "taught" / "classifier.safetensors",
        collection.facts,
        labels=taught.labels,
        weights=taught.weights,
        bias=taught.bias,
        thresholds=[threshold.value for threshold in taught.thresholds],
    )
    header = read_classifier_bundle(path).header
    assert header.labels == ("coquí", "grillo")
    assert header.card is not None and header.card.schooling[-1].command == "teach"
    assert header.card.parents[-1].fingerprint == read_bundle(small_model).header.fingerprint
    predict(
        PredictConfig(
            model_path=path,
            data_dir=sounds.audio_dir,
            output=collection.location,
            device="cpu",
        ),
        console,
    )
    heard = read_collection(collection.location)
    assert heard.scores is not None
    assert heard.score_labels == taught.labels
    exact = pd.read_parquet(tmp_path / "exact.parquet").sort_values(["file", "start_s"])
    assert exact["file"].tolist() == heard.windows["file"].tolist()
    expected = taught.probabilities(np.stack(list(exact["embedding"])))
    is_whole = (heard.windows["end_s"] - heard.windows["start_s"]).to_numpy() > 0.729
    assert is_whole.sum() >= 40
    assert np.ptp(expected[is_whole]) > 0.2
    np.testing.assert_allclose(heard.scores[is_whole], expected[is_whole], atol=2e-4)
    # An untrained model's vectors differ little, so that half precision costs more than with a trained one.
    np.testing.assert_allclose(taught.probabilities(heard.vectors)[is_whole], expected[is_whole], atol=0.05)
    assert np.isfinite(heard.scores).all()


def test_another_encoder_than_that_of_the_vectors_is_refused(
    tmp_path: Path, small_model: Path, single_label_model: Path, sounds: SyntheticDataset, console: Console
) -> None:
    collection, taught = taught_on(tmp_path, small_model, sounds, console)
    with pytest.raises(ValueError, match="not the model that made the vectors"):
        write_taught_classifier(
            tmp_path / "c.pt",
            collection.facts,
            labels=taught.labels,
            weights=taught.weights,
            bias=taught.bias,
            model_path=single_label_model,
        )
