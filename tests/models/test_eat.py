"""Encoder, positions and decoder against the official arrays, and what must hold beyond them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder, sincos_positions

Load = Callable[[str], tuple[EATEncoder, EATEncoder, EATDecoder]]
AssertNear = Callable[[Tensor, "np.ndarray[Any, Any]", float], None]

TINY = EATConfig(embed_dim=32, depth=3, num_heads=4, num_position_columns=4)


def tiny_encoder(config: EATConfig = TINY, *, activation_checkpointing: bool = False) -> EATEncoder:
    torch.manual_seed(0)
    return EATEncoder(config, activation_checkpointing=activation_checkpointing)


# Official arrays.


@pytest.mark.parametrize(("name", "length"), [("p1", 64), ("p1", 256), ("p1", 336), ("p2", 144)])
@torch.no_grad()
def test_features_equal_official(
    golden_eat: Path, pretrained: Load, assert_near: AssertNear, name: str, length: int
) -> None:
    arrays = np.load(golden_eat / f"features_{name}.npz")
    student, _, _ = pretrained(name)
    features = student(torch.from_numpy(arrays[f"T{length}__fbank"]).squeeze(1))
    final = arrays[f"T{length}__final"]
    assert features.cls is not None
    assert_near(features.cls, final[:, 0], 1e-4)
    assert_near(features.patches, final[:, 1:], 1e-4)


@pytest.mark.parametrize(("name", "length"), [("p1", 256), ("p2", 144)])
@torch.no_grad()
def test_every_step_equals_official(
    golden_eat: Path, pretrained: Load, assert_near: AssertNear, name: str, length: int
) -> None:
    arrays = np.load(golden_eat / f"features_{name}.npz")
    student, teacher, _ = pretrained(name)
    log_mel = torch.from_numpy(arrays[f"T{length}__fbank"]).squeeze(1)
    patches = student.embed_patches(log_mel)
    assert_near(patches - student.positions[:, : patches.shape[1]], arrays[f"T{length}__patch_tokens"], 1e-5)
    with_cls = torch.cat([student.cls_token.expand(len(patches), -1, -1), patches], dim=1)
    assert_near(student.input_norm(with_cls), arrays[f"T{length}__prenorm"], 1e-5)
    encoded = student.encode(patches, collect_mlp_outputs=True, collect_block_outputs=True)
    assert_near(torch.stack(encoded.mlp_outputs), arrays[f"T{length}__block_ffn"], 1e-4)
    assert_near(torch.stack(encoded.block_outputs), arrays[f"T{length}__block_out"], 1e-4)
    assert_near(encoded.tokens, arrays[f"T{length}__final"], 1e-4)
    taught = teacher.encode(teacher.embed_patches(log_mel), collect_mlp_outputs=True)
    assert_near(torch.stack(taught.mlp_outputs), arrays[f"T{length}__teacher_block_ffn"], 1e-4)
    assert_near(taught.tokens, arrays[f"T{length}__teacher_final"], 1e-4)


@pytest.mark.parametrize("name", ["p1", "p2"])
@torch.no_grad()
def test_encoding_visible_patches_equals_official(
    golden_eat: Path, pretrained: Load, assert_near: AssertNear, name: str
) -> None:
    arrays = np.load(golden_eat / f"pretrain_{name}_nonoise.npz")
    student, _, _ = pretrained(name)
    patches = student.embed_patches(torch.from_numpy(arrays["fbank"]).squeeze(1))
    masks = torch.from_numpy(arrays["mask"])
    num_clones = len(masks) // len(patches)
    rows = patches.repeat_interleave(num_clones, dim=0)
    visible = torch.stack([row[mask == 0] for row, mask in zip(rows, masks, strict=True)])
    encoded = student.encode(visible).tokens
    grid = torch.zeros_like(rows)
    for row, mask, tokens in zip(grid, masks, encoded[:, 1:], strict=True):
        row[mask == 0] = tokens
    assert_near(encoded[:, 0], arrays["student_cls"], 1e-4)
    assert_near(grid, arrays["student_visible_grid"], 1e-4)


@pytest.mark.parametrize(("name", "num_columns"), [("p1", 16), ("p2", 9)])
@torch.no_grad()
def test_decoder_equals_official(
    golden_eat: Path, pretrained: Load, assert_near: AssertNear, name: str, num_columns: int
) -> None:
    arrays = np.load(golden_eat / f"pretrain_{name}_nonoise.npz")
    _, _, decoder = pretrained(name)
    grid_tokens = torch.from_numpy(arrays["student_visible_grid"])
    assert_near(decoder(grid_tokens, num_columns), arrays["decoder_pred"], 2e-4)
    grid = grid_tokens[:1].unflatten(1, (num_columns, 8)).permute(0, 3, 1, 2)
    for layer, official in zip(decoder.blocks, arrays["decoder_layers_row0"], strict=True):
        update = decoder._layer(layer, grid)
        assert_near(update[0], official, 2e-4)
        grid = update + grid if update.shape == grid.shape else update


def test_positions_equal_official(golden_eat: Path) -> None:
    arrays = np.load(golden_eat / "posembed.npz")
    for dim, num_columns in ((64, 64), (48, 20)):
        ours = sincos_positions(dim, num_columns)[0].numpy()
        np.testing.assert_allclose(ours, arrays[f"D{dim}_H{num_columns}_W8"], rtol=0, atol=1e-5)
    table = sincos_positions(768, 768)[0].numpy()
    assert table.shape == tuple(arrays["base768_shape"])
    rows = arrays["base768_rows"]
    tolerance = np.where(rows > 2000, 1e-3, 1e-5)[:, None]
    assert (np.abs(table[rows] - arrays["base768_values"]) <= tolerance).all()
    assert table.sum(dtype=np.float64) == pytest.approx(float(arrays["base768_sum"]), rel=1e-3)


@pytest.mark.parametrize(
    ("size", "encoder_count", "decoder_count"),
    [("base", 85_254_144, 2_585_856), ("large", 302_575_616, 5_967_872)],
)
def test_published_sizes_have_the_published_counts(size: Any, encoder_count: int, decoder_count: int) -> None:
    with torch.device("meta"):
        encoder = EATEncoder(EATConfig.of_size(size))
        decoder = EATDecoder(DecoderConfig.of_size(size), encoder.config.embed_dim)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == encoder_count
    assert sum(parameter.numel() for parameter in decoder.parameters()) == decoder_count
    assert encoder.positions.shape == (1, 6144, encoder.config.embed_dim)


# Beyond them.


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_small_sizes_fit_their_decoder(size: Any) -> None:
    with torch.device("meta"):
        encoder = EATEncoder(EATConfig.of_size(size))
        decoder = EATDecoder(DecoderConfig.of_size(size), encoder.config.embed_dim)
        patches = encoder.embed_patches(torch.zeros(2, 48, 128))
        assert decoder(patches, 3).shape == patches.shape


def test_table_of_a_shorter_grid_begins_a_longer_one() -> None:
    assert torch.equal(sincos_positions(32, 5), sincos_positions(32, 60)[:, :40])


@pytest.mark.parametrize("num_bands", [1, 4, 8])
def test_positions_follow_their_formula(num_bands: int) -> None:
    table = sincos_positions(16, 3, num_bands)[0]
    for column in range(3):
        for band in range(num_bands):
            expected = []
            for place in (band, column):
                angles = [place * 10000 ** (-i / 4) for i in range(4)]
                expected += [*np.sin(angles), *np.cos(angles)]
            np.testing.assert_allclose(table[column * num_bands + band], expected, atol=1e-6)


@pytest.mark.parametrize("num_columns", [1, 6, 63, 750, 900])  # 0.16 s to 144 s
@torch.no_grad()
def test_encodes_any_length_without_padding(num_columns: int) -> None:
    """A table of 4 columns, extended, gives what a table that was long enough from the start gives."""
    long_enough = tiny_encoder(TINY.model_copy(update={"num_position_columns": 900}))
    extended = tiny_encoder()
    log_mel = torch.randn(1, num_columns * 16, 128)
    patches = extended.embed_patches(log_mel)
    assert patches.shape == (1, num_columns * 8, 32)
    assert torch.equal(patches, long_enough.embed_patches(log_mel))
    assert torch.isfinite(extended(log_mel).patches).all()


@torch.no_grad()
def test_stored_positions_are_used_as_they_were_loaded() -> None:
    encoder = tiny_encoder()
    encoder.positions.copy_(encoder.positions.half().float())
    rounded = encoder.positions.clone()
    difference = encoder.embed_patches(torch.zeros(1, 96, 128)) - encoder.patch_embedding.bias
    torch.testing.assert_close(difference[:, :32], rounded, rtol=0, atol=1e-6)
    torch.testing.assert_close(difference[:, 32:], sincos_positions(32, 6)[:, 32:], rtol=0, atol=1e-6)


def test_same_seed_same_weights() -> None:
    first, second = tiny_encoder().state_dict(), tiny_encoder().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    assert not torch.equal(EATEncoder(TINY).cls_token, first["cls_token"])


def test_initialises_as_the_official_code() -> None:
    torch.manual_seed(0)
    encoder = EATEncoder(EATConfig(embed_dim=256, depth=1, num_heads=4))
    bound = (6 / (256 + 256)) ** 0.5  # Xavier on the (dim, 16 x 16) view
    weight = encoder.patch_embedding.weight
    assert weight.abs().max() <= bound and weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert 0 < encoder.patch_embedding.bias.abs().max() <= 1 / 16  # torch's default: 1 / sqrt(fan in)
    assert encoder.cls_token.std().item() == pytest.approx(1, abs=0.15)
    for module in encoder.blocks.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.02) and not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and not module.bias.any()


def test_drop_path_grows_linearly_over_the_blocks() -> None:
    encoder = EATEncoder(EATConfig(embed_dim=8, depth=5, num_heads=1, drop_path_rate=0.1))
    assert [block.drop_path.rate for block in encoder.blocks] == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
    shallow = EATEncoder(EATConfig(embed_dim=8, depth=1, num_heads=1, drop_path_rate=0.1))
    assert shallow.blocks[0].drop_path.rate == 0


@torch.no_grad()
def test_encoding_does_not_depend_on_the_order_of_the_patches() -> None:
    encoder, order = tiny_encoder(), torch.randperm(24)
    patches = encoder.embed_patches(torch.randn(2, 48, 128))
    shuffled, straight = encoder.encode(patches[:, order]).tokens, encoder.encode(patches).tokens
    torch.testing.assert_close(shuffled[:, 0], straight[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled[:, 1:], straight[:, 1:][:, order], rtol=1e-4, atol=1e-5)


def test_collects_nothing_that_was_not_asked_for() -> None:
    encoder = tiny_encoder()
    patches = encoder.embed_patches(torch.randn(1, 16, 128))
    assert encoder.encode(patches).mlp_outputs == encoder.encode(patches).block_outputs == ()


def gradients(encoder: EATEncoder, log_mel: Tensor) -> list[Tensor]:
    torch.manual_seed(7)  # drop path draws
    encoded = encoder.encode(encoder.embed_patches(log_mel), collect_mlp_outputs=True)
    (encoded.tokens.square().mean() + torch.stack(encoded.mlp_outputs).std()).backward()
    return [parameter.grad for parameter in encoder.parameters() if parameter.grad is not None]


def test_activation_checkpointing_gives_the_same_gradients() -> None:
    config, log_mel = TINY.model_copy(update={"drop_path_rate": 0.5}), torch.randn(4, 32, 128)
    plain = gradients(tiny_encoder(config).train(), log_mel)
    recomputed = gradients(tiny_encoder(config, activation_checkpointing=True).train(), log_mel)
    assert len(plain) == len(list(tiny_encoder().parameters()))
    for ours, expected in zip(recomputed, plain, strict=True):
        assert torch.equal(ours, expected)


@torch.no_grad()
def test_bfloat16_autocast_stays_close() -> None:
    encoder, log_mel = tiny_encoder().eval(), torch.randn(2, 64, 128)
    with torch.autocast("cpu", torch.bfloat16):
        halved = encoder(log_mel)
    assert halved.patches.dtype == torch.float32
    torch.testing.assert_close(halved.patches, encoder(log_mel).patches, rtol=0, atol=0.05)


TRACED = """
import torch
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder

config = EATConfig(embed_dim=32, depth=3, num_heads=4, num_position_columns=4, drop_path_rate=0.1)
encoder, decoder = EATEncoder(config), EATDecoder(DecoderConfig(width=32, num_layers=2), 32)

def outputs(log_mel):
    encoded = encoder.encode(encoder.embed_patches(log_mel), collect_mlp_outputs=True)
    predicted = decoder(encoded.tokens[:, 1:], log_mel.shape[1] // 16)
    return encoder(log_mel).patches, *encoded.mlp_outputs, predicted

compiled = torch.compile(outputs, backend="aot_eager", fullgraph=True)
log_mel = torch.randn(2, 96, 128)
sum(output.mean() for output in compiled(log_mel)).backward()  # in training mode
encoder.eval()
for traced, expected in zip(compiled(log_mel), outputs(log_mel), strict=True):
    torch.testing.assert_close(traced, expected)
"""


def test_traces_into_one_graph() -> None:
    """What torch.compile needs, and no value is read from the device; shape checks would be in the way."""
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@torch.no_grad()
def test_decoder_equals_slow_obvious_version() -> None:
    """Grouped convolution with zeros around, norm over channels, GELU, sum; then one linear layer."""
    torch.manual_seed(0)
    decoder = EATDecoder(DecoderConfig(width=8, kernel=4, groups=2, num_layers=2), 4)
    tokens = torch.randn(2, 12, 4)
    grid = tokens.view(2, 3, 4, 4)  # batch, columns, bands, channels
    for layer in decoder.blocks:
        padded = nn.functional.pad(grid, (0, 0, 2, 2, 2, 2))
        update = torch.zeros(2, 3, 4, 8)
        inputs = grid.shape[3] // 2
        for column in range(3):
            for band in range(4):
                window = padded[:, column : column + 4, band : band + 4]
                for channel in range(8):
                    group = slice(channel // 4 * inputs, (channel // 4 + 1) * inputs)
                    kernel = layer.weight[channel].permute(1, 2, 0)
                    update[:, column, band, channel] = (window[..., group] * kernel).sum((1, 2, 3))
        update = nn.functional.gelu(nn.functional.layer_norm(update + layer.bias, (8,), eps=1e-5))
        grid = update + grid if update.shape == grid.shape else update
    torch.testing.assert_close(decoder(tokens, 3), decoder.projection(grid.flatten(1, 2)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 998, 128), "998 frames, this encoder expects a multiple of 16"),
        ((1, 0, 128), "0 frames"),
        ((1, 32, 64), "64 mel bands, this encoder expects 128"),
    ],
)
def test_refuses_spectrograms_of_other_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_encoder()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 7}, "embed_dim 768 must be a multiple of num_heads 7"),
        ({"num_mels": 100}, "num_mels 100 must be a multiple of patch_size 16"),
        ({"embed_dim": 6, "num_heads": 2}, "multiple of 4"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
        ({"heads": 3}, "heads"),
    ],
)
def test_refuses_impossible_encoders(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EATConfig(**settings)


def test_refuses_impossible_decoders() -> None:
    with pytest.raises(ValidationError, match="width 100 must be a multiple of groups 16"):
        DecoderConfig(width=100)
    with pytest.raises(ValueError, match="embed_dim 100 must be a multiple of the decoder's groups 16"):
        EATDecoder(DecoderConfig(), 100)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_forward_has_no_sync_and_equals_cpu() -> None:
    encoder, log_mel = tiny_encoder(), torch.randn(2, 96, 128)
    expected = encoder(log_mel).patches
    encoder, log_mel = encoder.to("cuda"), log_mel.to("cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours = encoder(log_mel).patches
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-3, atol=1e-4)
