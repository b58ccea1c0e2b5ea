"""What the tests of workflows share: sounds, a model of a few thousand weights, and an attentive console."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.synthesis import SyntheticDataset, synthesise_dataset
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import bundle_of_classifier, bundle_of_pretraining, write_bundle

sys.path.insert(0, str(Path(__file__).parent))  # for `import patch_models`: pytest leaves the path alone
SMALL = EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> SyntheticDataset:
    """Six recordings without labels, four clips of each of ten animals, a longer one; for reading only."""
    folder = tmp_path_factory.mktemp("sonidos del bosque")
    return synthesise_dataset(
        folder, seed=3, num_unlabeled=6, num_labeled_per_class=4, clip_s=1.5, long_recording_s=6.0
    )


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training of a very small EAT, whose teacher differs from its student."""
    torch.manual_seed(0)
    teacher = EATEncoder(SMALL)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SMALL))
    decoder = EATDecoder(DecoderConfig(width=32, num_layers=2), 32)
    path = tmp_path_factory.mktemp("models") / "small.pt"
    write_bundle(bundle_of_pretraining(encoder, decoder, teacher), path)
    return path


def classifier_of(folder: Path, *, multi_label: bool) -> Path:
    torch.manual_seed(0)
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SMALL))
    labels = ("coquí", "file", "p(rain)")
    head = ClassificationHead(HeadConfig(num_classes=len(labels)), 32)
    torch.nn.init.normal_(head.head.weight)
    path = folder / f"{'several' if multi_label else 'one'}.pt"
    classifier = AudioClassifier(encoder, head, labels, multi_label=multi_label, target_length=64)
    write_bundle(bundle_of_classifier(classifier), path)
    return path


@pytest.fixture(scope="session")
def single_label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier with one label a clip, for clips of 0.64 s."""
    return classifier_of(tmp_path_factory.mktemp("models"), multi_label=False)


@pytest.fixture(scope="session")
def multi_label_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with several labels a clip."""
    return classifier_of(tmp_path_factory.mktemp("models"), multi_label=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noises of 0.05 to 2.5 s at 16 kHz, two of them of one length."""
    folder = tmp_path_factory.mktemp("ruidos")
    (folder / "sub [1]").mkdir()
    durations_s = {"a.wav": 0.5, "b.wav": 2.5, "c.flac": 0.05, "sub [1]/d.wav": 1.1, "sub [1]/e.wav": 0.5}
    for seed, (name, duration_s) in enumerate(durations_s.items()):
        generator = np.random.default_rng(seed)
        noise = generator.normal(0, 0.1 * 2**-seed, round(16_000 * duration_s))
        soundfile.write(folder / name, noise.astype(np.float32), 16_000)
    return folder


@pytest.fixture
def console() -> Console:
    """Ask `said` what was printed to it."""
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def said(console: Console):  # type: ignore[no-untyped-def]
    """What was printed to `console`, as a function."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue
