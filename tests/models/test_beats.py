"""BEATs against the official arrays, and what must hold beyond them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig

Official = Callable[..., tuple[BEATsEncoder, dict[str, Tensor]]]

NAMES = ("beats_pretrained", "beats_finetuned", "beats_prenorm_glu", "beats_plain")
LENGTHS = (40000, 27123, 16000, 7301)
NEAR, LOOSE = {"atol": 1e-4, "rtol": 0.0}, {"atol": 2e-3, "rtol": 1e-3}
TINY = BEATsConfig(
    patch_dim=16,
    embed_dim=32,
    hidden_dim=48,
    depth=2,
    num_heads=4,
    position_kernel=6,
    position_groups=4,
    num_buckets=8,
    max_distance=20,
)


def arrays_of(golden_beats: Path, name: str) -> dict[str, Any]:
    with np.load(golden_beats / f"{name}.npz") as arrays:
        return dict(arrays)


def assert_close(ours: Tensor, official: Any, *, atol: float, rtol: float) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), official, atol=atol, rtol=rtol)


def tiny_encoder(**changes: Any) -> BEATsEncoder:
    torch.manual_seed(0)
    encoder = BEATsEncoder(TINY.model_copy(update=changes))
    with torch.no_grad():  # what begins at 0 or 1 would hide mistakes
        for weight in encoder.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return encoder


# Official arrays.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wants_gradients", [False, True])
def test_every_step_equals_official(
    golden_beats: Path, official_beats: Official, name: str, wants_gradients: bool
) -> None:
    arrays = arrays_of(golden_beats, name)
    encoder, rest = official_beats(name, padding_rule="official")
    num_samples = torch.tensor(LENGTHS)
    with torch.set_grad_enabled(wants_gradients):
        patches = encoder.embed_patches(torch.from_numpy(arrays["fbank"]))
        normed = encoder.patch_norm(
            encoder.patch_embedding(torch.from_numpy(arrays["fbank"])[:, None]).flatten(2).transpose(1, 2)
        )
        assert_close(normed, arrays["patch_ln"], **NEAR)
        if "proj" in arrays:
            assert_close(patches, arrays["proj"], **NEAR)
        audio = AudioEncoder(LogMelConfig.beats(), encoder)
        num_frames = audio.num_frames(num_samples, 40000)
        assert num_frames is not None
        assert torch.equal(torch.arange(248) >= num_frames[:, None], torch.from_numpy(arrays["frame_mask"]))
        is_padding = encoder.is_padding(num_frames, 248)
        assert torch.equal(is_padding, torch.from_numpy(arrays["patch_mask"]))
        for kind, mask in (("masked", is_padding), ("nomask", None)):
            heard = patches if mask is None else patches.masked_fill(mask[..., None], 0)
            added = encoder.position_convolution(heard)
            assert_close(added, arrays[f"pos_conv_{kind}"], **NEAR)
            begun = heard + added
            begun = begun if encoder.config.norm_first else encoder.norm(begun)
            assert_close(begun, arrays[f"encoder_in_{kind}"], **NEAR)
            encoded = encoder.encode(patches, is_padding=mask, collect_layers=True)
            for i, layer in enumerate(encoded.layers):
                assert_close(layer, arrays[f"layer{i}_{kind}"], **NEAR)
            if f"features_{kind}" in arrays:
                assert_close(encoded.patches, arrays[f"features_{kind}"], **NEAR)
            else:
                logits = torch.nn.functional.linear(
                    encoded.patches, rest["predictor.weight"], rest["predictor.bias"]
                )
                assert_close(logits, arrays[f"patch_logits_{kind}"], **NEAR)


@pytest.mark.parametrize("name", ["beats_pretrained", "beats_prenorm_glu", "beats_plain"])
@torch.no_grad()
def test_features_from_the_waveform_equal_official(
    golden_beats: Path, official_beats: Official, name: str
) -> None:
    arrays = arrays_of(golden_beats, name)
    waveforms = torch.from_numpy(arrays["wav"])
    official = AudioEncoder(LogMelConfig.beats(), official_beats(name, padding_rule="official")[0])
    features = official(waveforms, torch.tensor(LENGTHS))
    assert_close(features.patches, arrays["features_masked"], **LOOSE)
    assert torch.equal(features.is_padding, torch.from_numpy(arrays["patch_mask"]))
    assert_close(official(waveforms).patches, arrays["features_nomask"], **LOOSE)
    aligned = AudioEncoder(LogMelConfig.beats(), official_beats(name, padding_rule="aligned")[0])
    together = aligned(waveforms, torch.tensor(LENGTHS))
    for row, length in enumerate(LENGTHS):
        alone = arrays[f"single{row}"]
        assert_close(official(waveforms[row : row + 1, :length]).patches[0], alone, **LOOSE)
        # The aligned rule gives in a batch what the official code gives only to a clip alone.
        assert_close(together.patches[row][: len(alone)], alone, **LOOSE)
        assert together.is_padding is not None
        assert together.is_padding[row].sum() == 120 - len(alone)
    for clip in ("short0", "short1", "long"):
        if f"{clip}_wav" in arrays:
            heard = official(torch.from_numpy(arrays[f"{clip}_wav"])[None])
            assert_close(heard.patches[0], arrays[f"{clip}_out"], **LOOSE)


@torch.no_grad()
def test_classifier_equals_official(golden_beats: Path, official_beats: Official) -> None:
    arrays = arrays_of(golden_beats, "beats_finetuned")
    waveforms = torch.from_numpy(arrays["wav"])
    classifiers = []
    for rule in ("official", "aligned"):
        encoder, rest = official_beats("beats_finetuned", padding_rule=rule)
        head = ClassificationHead(HeadConfig(num_classes=11, prediction_mode="MEAN_LOGITS"), 96)
        head.load_state_dict({"head.weight": rest["predictor.weight"], "head.bias": rest["predictor.bias"]})
        audio = AudioEncoder(LogMelConfig.beats(), encoder)
        labels = tuple(map(str, range(11)))
        classifiers.append(AudioClassifier(audio, head, labels, multi_label=True).eval())
    official, aligned = classifiers
    num_samples = torch.tensor(LENGTHS)
    assert_close(official(waveforms, num_samples), arrays["probs_masked"], **NEAR)
    assert_close(official(waveforms), arrays["probs_nomask"], **NEAR)
    frames = official.num_frames(num_samples, 40000)
    logits = official.logits(official.log_mel(waveforms, num_samples), frames)
    assert_close(logits, arrays["pooled_logits_masked"], **NEAR)
    assert_close(official.logits(official.log_mel(waveforms)), arrays["pooled_logits_nomask"], **NEAR)
    together = aligned(waveforms, num_samples)
    for row, length in enumerate(LENGTHS):
        assert_close(official(waveforms[row : row + 1, :length])[0], arrays[f"single{row}"], **NEAR)
        assert_close(together[row], arrays[f"single{row}"], **NEAR)
    for i in (0, 1):
        assert_close(
            official(torch.from_numpy(arrays[f"short{i}_wav"])[None])[0], arrays[f"short{i}_out"], **NEAR
        )


@pytest.mark.parametrize("name", ["beats_pretrained", "beats_finetuned", "beats_prenorm_glu"])
@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_gradients_equal_official(
    golden_beats: Path, official_beats: Official, official_name: Callable[[str], str], name: str, decay: float
) -> None:
    arrays, gradients = arrays_of(golden_beats, name), arrays_of(golden_beats, f"{name}_grads")
    encoder, rest = official_beats(name, padding_rule="official", gradient_decay=decay)
    encoder.train()
    features = encoder(torch.from_numpy(arrays["fbank"]), torch.tensor([248, 169, 100, 46]))
    weights = {f"encoder.{key}": weight for key, weight in encoder.named_parameters()}
    output = features.patches
    if name == "beats_finetuned":
        head = ClassificationHead(HeadConfig(num_classes=11, prediction_mode="MEAN_LOGITS"), 96)
        head.load_state_dict({"head.weight": rest["predictor.weight"], "head.bias": rest["predictor.bias"]})
        weights |= {f"head.{key}": weight for key, weight in head.named_parameters()}
        output = head(features).sigmoid()
    loss = (output * torch.from_numpy(gradients["loss_weight"])).mean()
    loss.backward()
    assert_close(loss, gradients[f"loss_{decay}"], **NEAR)
    prefix, compared = f"grad_{decay}/", set()
    for key, official in gradients.items():
        largest = np.abs(official).max()
        if key.startswith(prefix) and largest >= 1e-6:
            ours = official_name(key.removeprefix(prefix))
            compared.add(ours)
            gradient = weights[ours].grad
            assert gradient is not None
            assert np.abs(gradient.numpy() - official).max() <= 5e-3 * largest, ours
    assert len(compared) >= 30  # the file holds those of the first layer, and of some of the others
    assert all(weight.grad is not None for weight in weights.values())


def test_published_size_has_the_published_count() -> None:
    with torch.device("meta"):
        encoder = BEATsEncoder(BEATsConfig.of_size("base"))
    assert sum(weight.numel() for weight in encoder.parameters()) == 90_311_792


# Beyond them.


LENGTH = st.floats(math.log2(480), math.log2(50_000)).map(lambda power: round(2**power))


@settings(max_examples=25, deadline=None)
@given(st.lists(LENGTH, min_size=1, max_size=5), st.integers(0, 9000))
@example([480, 1_920_000], 0)  # 0.03 s beside 120 s
@example([400_123, 2719, 160_001], 5000)
@torch.no_grad()
def test_a_clip_sounds_the_same_alone_and_in_any_batch(lengths: list[int], more: int) -> None:
    encoder = AudioEncoder(LogMelConfig.beats(), tiny_encoder()).eval()
    generator = torch.Generator().manual_seed(len(lengths))
    batch = torch.randn(len(lengths), max(lengths) + more, generator=generator) * 0.1  # noise as padding
    features = encoder(batch, torch.tensor(lengths))
    embedded = encoder.embed(batch, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone = encoder(batch[row : row + 1, :length]).patches[0]
        torch.testing.assert_close(features.patches[row, : len(alone)], alone, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(embedded[row], alone.mean(dim=0), atol=2e-5, rtol=1e-5)
        if features.is_padding is not None:
            assert (~features.is_padding[row]).sum() == len(alone)


@torch.no_grad()
def test_lengths_from_a_blink_to_two_minutes() -> None:
    encoder = AudioEncoder(LogMelConfig.beats(), tiny_encoder()).eval()
    for seconds, columns in ((0.03, 1), (0.17, 1), (0.34, 2), (120.0, 749)):
        features = encoder(torch.randn(1, int(16000 * seconds)) * 0.1)
        assert features.patches.shape == (1, 8 * columns, 32)
        assert features.patches.isfinite().all()
    with pytest.raises(ValueError, match="at least 400 are needed"):
        encoder(torch.zeros(1, 399))


@torch.no_grad()
def test_what_a_short_clip_lacks_is_silence() -> None:
    encoder = AudioEncoder(LogMelConfig.beats(), tiny_encoder()).eval()
    log_mel = encoder.log_mel(torch.randn(1, 880))
    silence = encoder.log_mel(torch.zeros(1, 2800))
    assert log_mel.shape == (1, 16, 128)
    assert torch.equal(log_mel[:, 4:], silence[:, 4:])
    assert not torch.isclose(log_mel[:, :4], silence[:, :4]).all()


@pytest.mark.parametrize("wants_gradients", [False, True])
def test_visible_patches_know_their_true_places(wants_gradients: bool) -> None:
    encoder = tiny_encoder().eval()
    patches = torch.randn(2, 24, 32)
    order = torch.stack([torch.randperm(24), torch.randperm(24)])
    with torch.set_grad_enabled(wants_gradients):
        whole = encoder.encode(patches).patches
        shuffled = encoder.encode(
            patches.gather(1, order[..., None].expand_as(patches)), positions=order, num_positions=24
        ).patches
    torch.testing.assert_close(
        shuffled, whole.gather(1, order[..., None].expand_as(whole)), atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_a_subset_equals_the_whole_whose_rest_is_padding() -> None:
    encoder = tiny_encoder().eval()
    patches = torch.randn(2, 24, 32)
    visible = torch.tensor([[1, 2, 5, 9, 23], [0, 8, 10, 11, 12]])
    is_padding = torch.ones(2, 24, dtype=torch.bool).scatter(1, visible, value=False)
    places = visible[..., None].expand(-1, -1, 32)
    whole = encoder.encode(patches, is_padding=is_padding).patches.gather(1, places)
    some = encoder.encode(patches.gather(1, places), positions=visible, num_positions=24).patches
    torch.testing.assert_close(some, whole, atol=1e-5, rtol=1e-5)
    packed = encoder.encode(patches.gather(1, places)).patches
    assert not torch.allclose(packed, some, atol=1e-2)
    with pytest.raises(ValueError, match="give both or none"):
        encoder.encode(patches, num_positions=24)


def test_a_row_of_padding_alone_is_finite() -> None:
    for relative in (True, False):
        encoder = tiny_encoder(relative_bias=relative, gated_bias=relative, padding_rule="official").eval()
        features = encoder(torch.randn(2, 32, 128), torch.tensor([32, 0]))
        assert features.patches.isfinite().all()
        assert features.mean().isfinite().all()


def test_layers_are_dropped_by_torch_and_every_weight_still_has_a_gradient() -> None:
    encoder = tiny_encoder(layer_drop=0.5, depth=6, dropout=0.0, attention_dropout=0.0, input_dropout=0.0)
    log_mel = torch.randn(2, 32, 128)
    torch.manual_seed(5)
    first = encoder(log_mel).patches
    second = encoder(log_mel).patches
    torch.manual_seed(5)
    assert torch.equal(encoder(log_mel).patches, first)
    assert not torch.allclose(first, second)
    first.square().sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())
    blocks = encoder.transformer.blocks
    is_idle = [all(not weight.grad.any() for weight in block.parameters()) for block in blocks]  # type: ignore[union-attr]
    assert any(is_idle) and not all(is_idle)
    encoder.eval()
    assert torch.equal(encoder(log_mel).patches, encoder(log_mel).patches)


@pytest.mark.parametrize("attention_dropout", [0.0, 0.3])
def test_checkpointing_activations_changes_nothing(attention_dropout: float) -> None:
    gradients = []
    for is_on in (False, True):
        encoder = tiny_encoder(attention_dropout=attention_dropout)
        encoder.activation_checkpointing = is_on
        assert encoder.activation_checkpointing is is_on
        torch.manual_seed(1)
        encoder(torch.randn(2, 32, 128), torch.tensor([32, 20])).patches.square().sum().backward()
        gradients.append([weight.grad for weight in encoder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_frames_after_the_last_column_do_not_matter() -> None:
    encoder = tiny_encoder().eval()
    log_mel = torch.randn(1, 47, 128)
    assert torch.equal(encoder(log_mel).patches, encoder(log_mel[:, :32]).patches)
    with pytest.raises(ValueError, match="15 frames, this encoder expects at least 16"):
        encoder(log_mel[:, :15])
    with pytest.raises(ValueError, match="64 mel bands, this encoder expects 128"):
        encoder(log_mel[..., :64])


def test_fine_tuning_leaves_out_blocks_and_nothing_else() -> None:
    config = BEATsConfig(gradient_decay=0.6).for_finetuning(0.1)
    assert (config.layer_drop, config.gradient_decay) == (0.1, 1.0)
    assert config.dropout == config.attention_dropout == config.activation_dropout == 0.0
    assert config.input_dropout == 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embed_dim": 50, "num_heads": 4}, "multiple of num_heads 4"),
        ({"position_groups": 5}, "multiple of position_groups 5"),
        ({"num_mels": 100}, "multiple of patch_size 16"),
        ({"norm_first": True}, "not with norm_first"),
        ({"relative_bias": False}, "needs relative_bias"),
        ({"max_distance": 80}, "must be above the 80 distances"),
    ],
)
def test_configurations_that_cannot_be(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BEATsConfig(**wrong)


@pytest.mark.gpu
@torch.no_grad()
def test_a_gpu_computes_the_same() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    encoder, log_mel, num_frames = tiny_encoder().eval(), torch.randn(2, 64, 128), torch.tensor([64, 40])
    ours = encoder(log_mel, num_frames).patches
    theirs = encoder.cuda()(log_mel.cuda(), num_frames.cuda()).patches.cpu()
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
