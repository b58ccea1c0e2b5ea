"""The real objectives in the loop: what resuming, splitting and learning must hold for."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from toy import fingerprint

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.augment import AugmentConfig
from bioacoustics.data.batches import DataConfig
from bioacoustics.data.windows import Window, class_balanced_weights
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, bundle_of_pretraining, load_encoder, write_bundle
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.objective import Objective
from bioacoustics.training.checkpoint import CheckpointConfig
from bioacoustics.training.loop import LoopConfig, TrainingConfig, TrainingResult, train
from bioacoustics.training.optimizer import OptimizerConfig
from bioacoustics.training.validation import Validation

RATE_HZ = 16_000
NUM_CLASSES = 4


class ChirpWindows:
    """Chirps of half a second over noise; the class is the pitch. Reading can fail once, as in a crash."""

    window_s = 0.5
    num_samples = 8_000

    def __init__(self, num_windows: int = 16, *, noise: float = 0.02, crash_at: int | None = None) -> None:
        self.num_windows, self.noise, self.crash_at = num_windows, noise, crash_at

    def __len__(self) -> int:
        return self.num_windows

    def read(self, index: int, draw_id: int) -> Window:
        if self.crash_at is not None and draw_id >= self.crash_at:
            raise ConnectionResetError("the cable was pulled")
        generator = np.random.default_rng(index)
        time_s = np.arange(self.num_samples - 160 * (index % 3)) / RATE_HZ
        start_hz = 600.0 * 2 ** (index % NUM_CLASSES)
        chirp = np.sin(2 * np.pi * (start_hz * time_s + 150 * time_s**2)) * (np.sin(40 * time_s) > 0)
        samples = 0.3 * chirp + self.noise * generator.standard_normal(len(time_s))
        target = np.eye(NUM_CLASSES, dtype=np.float32)[index % NUM_CLASSES]
        return Window(samples=samples.astype(np.float32), target=target)


def encoder(drop_path_rate: float = 0.0) -> AudioEncoder:
    # Fewer columns than a window has: the table of positions has to grow.
    config = EATConfig(
        embed_dim=32, depth=2, num_heads=2, num_position_columns=2, drop_path_rate=drop_path_rate
    )
    return AudioEncoder(LogMelConfig.eat(), EATEncoder(config))


def pretraining(**options: Any) -> MaskedLatent:
    torch.manual_seed(0)
    config = MaskedLatentConfig(
        num_clones=4, target_length=64, ema_decay=0.99, ema_anneal_updates=10, **options
    )
    decoder = EATDecoder(DecoderConfig(width=32, num_layers=2), 32)
    return MaskedLatent(encoder(), decoder, config, seed=3)


def pretraining_on_little() -> MaskedLatent:
    return pretraining(removes_position=True, utterance_weight=0.0, reconstruction_weight=20.0)


def classification(drop_path_rate: float = 0.2, *, augments: bool = True) -> Classification:
    torch.manual_seed(0)
    head = ClassificationHead(HeadConfig(num_classes=NUM_CLASSES), 32)
    labels = tuple("abcd")
    classifier = AudioClassifier(encoder(drop_path_rate), head, labels, multi_label=False, target_length=64)
    augment = AugmentConfig(mixup_alpha=0.8, spec_augment_ratio=0.2, noise=True)
    if not augments:
        augment = AugmentConfig(roll=False, gain=False)
    config = ClassificationConfig(label_smoothing=0.1, augment=augment)
    return Classification(classifier, config, seed=3)


def write(objective: Objective, path: Path) -> None:
    if isinstance(objective, MaskedLatent):
        write_bundle(bundle_of_pretraining(objective.encoder, objective.decoder, objective.teacher), path)
    else:
        assert isinstance(objective, Classification)
        write_bundle(bundle_of_classifier(objective.classifier), path)


def run(
    objective: Objective,
    folder: Path,
    windows: ChirpWindows,
    *,
    num_updates: int = 8,
    data: DataConfig | None = None,
    learning_rate: float = 1e-3,
    eps: float = 1e-8,
    layer_decay: float = 1.0,
    weights: np.ndarray | None = None,
    validation: Validation | None = None,
    checkpoint: CheckpointConfig | None = None,
    console: Console | None = None,
) -> TrainingResult:
    return train(
        objective,
        windows,
        folder,
        TrainingConfig(
            optimizer=OptimizerConfig(
                num_updates=num_updates, learning_rate=learning_rate, eps=eps, layer_decay=layer_decay
            ),
            data=data or DataConfig(batch_size=5),
            loop=LoopConfig(log_every=4, validate_every=num_updates),
            checkpoint=checkpoint or CheckpointConfig(save_every=3),
        ),
        write_model=lambda path: write(objective, path),
        weights=weights,
        validation=validation,
        console=console or Console(file=io.StringIO()),
    )


@pytest.mark.parametrize("build", [pretraining, pretraining_on_little, classification])
def test_crashed_run_ends_with_the_bits_of_the_undisturbed_one(
    tmp_path: Path, build: type[Objective]
) -> None:
    whole = build()
    run(whole, tmp_path / "whole", ChirpWindows())
    with pytest.raises(ConnectionResetError):
        run(build(), tmp_path / "crashed", ChirpWindows(crash_at=5 * 5 + 2))
    torch.manual_seed(99)  # whatever happens to be the state of a new process
    resumed = build()
    run(resumed, tmp_path / "crashed", ChirpWindows())
    assert fingerprint(resumed) == fingerprint(whole)
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        assert (tmp_path / "crashed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_slow_updates_are_saved_by_the_clock(tmp_path: Path) -> None:
    by_clock = CheckpointConfig(save_every=1000, save_minutes=1e-6)
    with pytest.raises(ConnectionResetError):
        run(pretraining(), tmp_path, ChirpWindows(crash_at=5 * 5 + 2), checkpoint=by_clock)
    said = io.StringIO()
    run(pretraining(), tmp_path, ChirpWindows(), checkpoint=by_clock, console=Console(file=said, width=200))
    assert "Going on after update 4 of 8" in said.getvalue()


@pytest.mark.parametrize(
    "build", [pretraining, pretraining_on_little, lambda: classification(drop_path_rate=0.0)]
)
@pytest.mark.parametrize(
    "data", [DataConfig(batch_size=12, micro_batch_size=5), DataConfig(batch_size=3, update_freq=4)]
)
def test_split_run_equals_the_whole_one(tmp_path: Path, build: type[Objective], data: DataConfig) -> None:
    ends = []
    for name, split in (("whole", DataConfig(batch_size=12)), ("split", data)):
        objective = build()
        # A large eps, for Adam otherwise magnifies the rounding noise of gradients that are nearly 0.
        run(objective, tmp_path / name, ChirpWindows(), num_updates=4, data=split, learning_rate=0.1, eps=1.0)
        ends.append(objective.state_dict())
    start = build().state_dict()
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-3, atol=2e-5)
    assert any(not torch.allclose(value, start[name], atol=1e-3) for name, value in ends[0].items())


def test_pretraining_learns_and_its_model_is_of_use(tmp_path: Path) -> None:
    objective = pretraining()
    held_out = Validation(windows=ChirpWindows(8, noise=0.03))
    result = run(objective, tmp_path, ChirpWindows(), num_updates=40, validation=held_out)
    assert result.best is not None
    loaded = load_encoder(tmp_path / "checkpoint_best.pt")
    waveforms = torch.randn(2, 8_000)
    objective.eval()
    torch.testing.assert_close(loaded.embed(waveforms), objective.encoder.embed(waveforms))


@pytest.mark.slow
def test_classifier_learns_eight_chirps(tmp_path: Path) -> None:
    objective = classification(drop_path_rate=0.0, augments=False)
    classifier = objective.classifier
    windows = ChirpWindows(8)
    targets = np.stack([windows.read(i, 0).target for i in range(8)])
    validation = Validation(
        windows=windows,
        predict=lambda batch: classifier.logits(
            classifier.log_mel(batch.waveforms, batch.num_samples)
        ).softmax(dim=-1),
        score="accuracy",
        is_higher_better=True,
    )
    result = run(
        objective,
        tmp_path,
        windows,
        num_updates=200,
        learning_rate=3e-3,
        layer_decay=0.8,
        data=DataConfig(batch_size=8),
        weights=class_balanced_weights(targets),
        validation=validation,
    )
    assert result.best is not None
    assert result.best.score == 1.0
