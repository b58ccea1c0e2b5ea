"""Teach: a classifier that was taught on stored vectors, saved as a model that `predict` runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import JsonValue

from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.card import Schooling
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import build_encoder, bundle_of_classifier, read_bundle, write_bundle
from bioacoustics.workflows.lineage import child_of

NORM_EPS = 1e-6


def write_taught_classifier(
    output: Path,
    facts: Mapping[str, Any],
    *,
    labels: Sequence[str],
    weights: Float[np.ndarray, "classes width"],
    bias: Float[np.ndarray, " classes"],
    thresholds: Sequence[float] = (),
    model_path: Path | None = None,
) -> Path:
    """Join the encoder that made a store with a head that was taught on its vectors.

    The head is a layer norm without weights and one linear layer; probabilities are sigmoids. Windows of the
    store's length get the probabilities that the teacher gave, but for the half precision of stored vectors.

    Args:
        output: Where to write it, .pt or .safetensors.
        facts: What the store says about the run that made the vectors.
        labels: Names of the classes.
        weights: Of the linear layer, on layer-normed vectors.
        bias: Of the linear layer.
        thresholds: From where on each label counts as present; kept with the model.
        model_path: The encoder, if it is not where it was.

    Raises:
        FileNotFoundError: The encoder is not there.
        ValueError: The model at the path is not the one that made the vectors.
    """
    path = model_path or Path(facts["model_path"])
    bundle = read_bundle(path)
    if bundle.header.fingerprint != facts["model"]:
        raise ValueError(
            f"{path}: this is not the model that made the vectors ({facts['model'][:8]}…), but "
            f"{bundle.header.fingerprint[:8]}…; give the one that did"
        )
    encoder = build_encoder(bundle)
    reading = facts["front_end"]
    pooling = reading.get("pooling", "auto")
    by_cls = encoder.config.has_cls if pooling == "auto" else pooling == "cls"
    config = HeadConfig(
        num_classes=len(labels),
        prediction_mode="CLS_TOKEN" if by_cls else "MEAN_POOLING",
        norm_eps=NORM_EPS,
    )
    head = ClassificationHead(config, encoder.embedding_dim)
    with torch.no_grad():
        head.head.weight.copy_(torch.from_numpy(np.asarray(weights, np.float32)))
        head.head.bias.copy_(torch.from_numpy(np.asarray(bias, np.float32)))
    front_end = encoder.front_end.config
    num_samples = round(reading["window_s"] * reading.get("time_expansion", 1) * front_end.sample_rate_hz)
    classifier = AudioClassifier(
        encoder, head, tuple(labels), multi_label=True, target_length=front_end.num_frames(num_samples)
    )
    calibration: dict[str, JsonValue] = {
        "window_s": reading["window_s"],  # which frames alone would tell to 10 ms
        "thresholds": dict(zip(labels, map(float, thresholds), strict=False)),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    card = child_of(bundle.header, path.name, Schooling(command="teach", data="labels of a store"))
    write_bundle(bundle_of_classifier(classifier.eval(), calibration).with_card(card), output)
    return output
