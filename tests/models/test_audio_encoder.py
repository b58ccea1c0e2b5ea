"""From waveforms to features, embeddings and probabilities."""

import pytest
import torch
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig


def tiny_encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig(embed_dim=32, depth=2, num_heads=4))).eval()


def tiny_classifier(*, multi_label: bool = True, target_length: int | None = None) -> AudioClassifier:
    head = ClassificationHead(HeadConfig(num_classes=3), 32)
    torch.nn.init.normal_(head.head.weight)
    return AudioClassifier(
        tiny_encoder(), head, ("ant", "bat", "cat"), multi_label=multi_label, target_length=target_length
    ).eval()


@pytest.fixture
def waveforms() -> Tensor:
    return torch.randn(3, 16000, generator=torch.Generator().manual_seed(1)) * 0.1


def test_says_what_it_expects_and_gives() -> None:
    encoder = tiny_encoder()
    assert encoder.sample_rate_hz == 16000 and encoder.embedding_dim == 32
    assert encoder.config == encoder.encoder.config
    assert tiny_classifier().sample_rate_hz == 16000


@torch.no_grad()
def test_waveforms_to_features_in_one_and_in_two_steps(waveforms: Tensor) -> None:
    encoder = tiny_encoder()
    log_mel = encoder.log_mel(waveforms)
    assert log_mel.shape == (3, 112, 128)  # 98 frames, padded to whole patches
    features = encoder(waveforms)
    assert features.patches.shape == (3, 56, 32) and features.cls.shape == (3, 32)
    assert torch.equal(features.patches, encoder.features(log_mel).patches)


@torch.no_grad()
def test_embeds_by_cls_token_or_by_mean(waveforms: Tensor) -> None:
    encoder = tiny_encoder()
    features = encoder(waveforms)
    assert torch.equal(encoder.embed(waveforms), features.cls)
    assert torch.equal(encoder.embed(waveforms, pooling="mean"), features.patches.mean(dim=1))


@torch.no_grad()
def test_pooling_auto_takes_what_there_is(waveforms: Tensor) -> None:
    config = BEATsConfig(
        **{"patch_dim": 8, "embed_dim": 16, "hidden_dim": 16, "depth": 1, "num_heads": 2},
        **{"position_kernel": 4, "position_groups": 2},
    )
    without_cls = AudioEncoder(LogMelConfig.beats(), BEATsEncoder(config)).eval()
    assert torch.equal(without_cls.embed(waveforms), without_cls.embed(waveforms, pooling="mean"))
    with pytest.raises(ValueError, match="no CLS token: choose the pooling mean, or auto"):
        without_cls.embed(waveforms, pooling="cls")
    assert torch.equal(tiny_encoder().embed(waveforms), tiny_encoder().embed(waveforms, pooling="cls"))


@torch.no_grad()
def test_rows_do_not_depend_on_each_other(waveforms: Tensor) -> None:
    encoder, num_samples = tiny_encoder(), torch.tensor([16000, 9000, 400])
    together = encoder.embed(waveforms, num_samples)
    for row in range(3):
        alone = encoder.embed(waveforms[row : row + 1], num_samples[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)
    waveforms[1, 9000:] = 7.0  # not sound
    torch.testing.assert_close(encoder.embed(waveforms, num_samples), together)


def test_short_and_long_clips_take_only_the_patches_they_need() -> None:
    encoder = tiny_encoder()
    assert encoder.log_mel(torch.zeros(1, 400)).shape == (1, 16, 128)
    assert encoder.log_mel(torch.zeros(1, 32_000)).shape == (1, 208, 128)
    assert encoder.log_mel(torch.zeros(1, 400), target_length=100).shape == (1, 112, 128)


def test_refuses_waveforms_shorter_than_a_frame() -> None:
    with pytest.raises(
        ValueError, match=r"399 samples are too short: at least 400 are needed \(25 ms at 16000 Hz\)"
    ):
        tiny_encoder()(torch.zeros(1, 399))


def test_refuses_a_front_end_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="64 mel bands, the encoder expects 128"):
        AudioEncoder(LogMelConfig.eat(num_mels=64), EATEncoder(EATConfig(embed_dim=8, depth=1, num_heads=1)))


@pytest.mark.parametrize(("multi_label", "squash"), [(True, torch.sigmoid), (False, lambda x: x.softmax(1))])
@torch.no_grad()
def test_probabilities_are_squashed_logits(waveforms: Tensor, multi_label: bool, squash: object) -> None:
    classifier = tiny_classifier(multi_label=multi_label)
    logits = classifier.logits(classifier.log_mel(waveforms))
    assert logits.shape == (3, 3) and callable(squash)
    assert torch.equal(classifier(waveforms), squash(logits))


@torch.no_grad()
def test_probabilities_are_float32_under_autocast(waveforms: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert tiny_classifier()(waveforms).dtype == torch.float32


def test_classifier_pads_short_clips_and_leaves_long_ones_whole() -> None:
    classifier = tiny_classifier(target_length=128)
    assert classifier.log_mel(torch.zeros(1, 8000)).shape == (1, 128, 128)
    assert classifier.log_mel(torch.zeros(1, 32_000)).shape == (1, 208, 128)
    assert tiny_classifier().log_mel(torch.zeros(1, 8000)).shape == (1, 48, 128)


def test_classifier_refuses_labels_that_do_not_fit() -> None:
    head = ClassificationHead(HeadConfig(num_classes=3), 32)
    with pytest.raises(ValueError, match="2 labels do not fit a head with 3 classes"):
        AudioClassifier(tiny_encoder(), head, ("ant", "bat"), multi_label=True)
    with pytest.raises(ValueError, match="target_length must be at least 1 frame, got 0"):
        AudioClassifier(tiny_encoder(), head, ("a", "b", "c"), multi_label=True, target_length=0)
