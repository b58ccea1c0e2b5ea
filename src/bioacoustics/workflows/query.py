"""Query: examples of a sound as vectors, made exactly as those of the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from bioacoustics.audio.band import Band
from bioacoustics.audio.reading import Channel, Finding, stream_segments
from bioacoustics.audio.recordings import read_header
from bioacoustics.audio.segments import SegmentConfig
from bioacoustics.inference.device import DeviceChoice, pick_device
from bioacoustics.inference.precision import arithmetic, prepare
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.saved import build_encoder, read_bundle
from bioacoustics.workflows.journal import RunSettings


def embedded_examples(
    settings: RunSettings,
    groups: Sequence[Sequence[Path]],
    model_path: Path | None,
    device_choice: DeviceChoice,
) -> list[Float[np.ndarray, "windows dim"]]:
    """The vectors of each group of recordings, one for each of their windows.

    Raises:
        ValueError: the model is not the one that made the store.
        FileNotFoundError: the model or an example is not there.
    """
    device = pick_device(device_choice)
    encoder = _encoder_of(settings, model_path).to(device)
    facts: dict[str, Any] = settings.front_end
    prepare(encoder, facts["precision"])
    with torch.inference_mode(), arithmetic(facts["precision"], device):
        return [_vectors(encoder, paths, facts, device) for paths in groups]


def _encoder_of(settings: RunSettings, model_path: Path | None) -> AudioEncoder:
    path = model_path or Path(settings.model_path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: the model that made this store is not there any more; give its place with --model_path"
        )
    bundle = read_bundle(path)
    if bundle.header.fingerprint != settings.model:
        raise ValueError(
            f"{path} is another model (fingerprint {bundle.header.fingerprint[:8]}…) than the one that made "
            f"this store ({settings.model[:8]}…, {settings.model_path}): their vectors cannot be compared; "
            "give that model with --model_path"
        )
    return build_encoder(bundle)


def _vectors(
    encoder: AudioEncoder, paths: Sequence[Path], facts: dict[str, Any], device: torch.device
) -> Float[np.ndarray, "windows dim"]:
    rate_hz = round(encoder.sample_rate_hz * facts["time_expansion"])
    shortest = encoder.front_end.config.frame_length
    segments = SegmentConfig(window_s=facts["window_s"], min_duration_s=shortest / rate_hz)
    channel: Channel = "loudest" if facts["channel"] in {"each", "loudest"} else facts["channel"]
    band = Band(facts.get("low_hz"), facts.get("high_hz"))
    vectors = [np.empty((0, encoder.embedding_dim), np.float32)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such recording")
        recording = read_header(path, path)
        if isinstance(channel, int) and channel >= recording.num_channels:
            channel = "mix"  # an example of one channel has no other
        windows = stream_segments(recording, segments, rate_hz, channel, band=band)
        readings = [reading for _, reading in windows]
        sounding = [r for r in readings if len(r.samples) >= shortest and Finding.SILENT not in r.findings]
        if not sounding:
            raise ValueError(f"{path}: no sound that the model could hear; give another example")
        for reading in sounding:
            embedded = encoder.embed(
                torch.from_numpy(reading.samples)[None].to(device), pooling=facts["pooling"]
            )
            vectors.append(embedded.float().cpu().numpy())
    return np.concatenate(vectors)
