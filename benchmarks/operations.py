"""Operations: how many GFLOP a computation needs, by the formulas of its layers.

A multiplication and an addition count as two. Norms, activations and softmax count as nothing, and neither
does what is computed twice to save memory: a share of the ceiling is of the work that had to be done.
"""

import math

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.beats import BEATsConfig
from bioacoustics.models.codebook import CodebookConfig
from bioacoustics.models.eat import DecoderConfig, EATConfig
from bioacoustics.models.predictors import LabelPredictorConfig
from bioacoustics.models.random_projection import RandomProjectionConfig


def of_blocks(dim: int, hidden: int, depth: int, tokens: int) -> float:
    """Transformer blocks for one row: the weights of each token, and scores and mixing of attention."""
    weights = 4 * dim**2 + 2 * dim * hidden
    return depth * (2 * tokens * weights + 4 * tokens**2 * dim) / 1e9


def of_log_mel(config: LogMelConfig, samples: int) -> float:
    """One row: pre-emphasis and window, Fourier transform (2.5 n log2 n), power and mel filters."""
    size = config.fft_size
    bins = size // 2 + 1
    a_frame = 5 * config.frame_length + 2.5 * size * math.log2(size) + bins * (3 + 2 * config.num_mels)
    return config.num_frames(samples) * a_frame / 1e9


def of_eat(config: EATConfig, patches: int) -> float:
    """EAT's encoder for one row: patches embedded, and with CLS through the blocks."""
    return _embedding(config, patches) + _eat_blocks(config, 1 + patches)


def of_decoder(config: DecoderConfig, embed_dim: int, patches: int, wanted: int) -> float:
    """EAT's decoder for one row: convolutions at all patches, the last projection at those wanted."""
    widths = [embed_dim] + [config.width] * config.num_layers
    taps = config.kernel**2 * config.width // config.groups
    convolutions = sum(2 * patches * taps * width for width in widths[:-1])
    return (convolutions + 2 * wanted * config.width * embed_dim) / 1e9


def of_eat_step(
    encoder: EATConfig, decoder: DecoderConfig, *, clips: int, clones: int, patches: int, visible: int
) -> float:
    """Student and decoder forward and twice that backward, teacher forward."""
    decoded = of_decoder(decoder, encoder.embed_dim, patches, patches - visible)
    learnt = _embedding(encoder, patches) + clones * (_eat_blocks(encoder, 1 + visible) + decoded)
    return clips * (3 * learnt + of_eat(encoder, patches))


def _embedding(config: EATConfig, patches: int) -> float:
    return 2 * patches * config.patch_size**2 * config.embed_dim / 1e9


def _eat_blocks(config: EATConfig, tokens: int) -> float:
    return of_blocks(config.embed_dim, int(config.embed_dim * config.mlp_ratio), config.depth, tokens)


def of_beats(config: BEATsConfig, patches: int, visible: int | None = None) -> float:
    """BEATs' encoder for one row; `visible` of the patches, closed up, enter convolution and blocks."""
    tokens = patches if visible is None else visible
    embedding = config.patch_size**2 * config.patch_dim
    projection = config.patch_dim * config.embed_dim if config.patch_dim != config.embed_dim else 0
    convolution = config.position_kernel * config.embed_dim**2 // config.position_groups
    before = 2 * (patches * (embedding + projection) + tokens * convolution) / 1e9
    return before + of_blocks(config.embed_dim, config.hidden_dim, config.depth, tokens)


def of_random_tokens(config: RandomProjectionConfig, patches: int) -> float:
    """The random projection of one row, and the nearest of its codes."""
    a_patch = config.patch_size**2 * config.patch_dim + config.code_dim * (
        config.patch_dim + config.num_codes
    )
    return 2 * patches * a_patch / 1e9


def of_distilled_tokens(encoder: BEATsConfig, codes: CodebookConfig, patches: int) -> float:
    """The learnt tokenizer for one row: encoder, two layers to the codes' space, and the nearest code."""
    to_codes = encoder.embed_dim**2 + encoder.embed_dim * codes.dim
    return of_beats(encoder, patches) + 2 * patches * (to_codes + codes.dim * codes.num_codes) / 1e9


def of_beats_step(
    encoder: BEATsConfig,
    predictor: LabelPredictorConfig,
    tokens: RandomProjectionConfig,
    *,
    clips: int,
    patches: int,
    visible: int,
) -> float:
    """Encoder of visible patches and predictor of all, forward and twice that backward; tokens forward."""
    dim = predictor.embed_dim
    ends = 2 * (visible * encoder.embed_dim * dim + patches * dim * predictor.num_codes) / 1e9
    predicted = ends + of_blocks(dim, predictor.hidden_dim, predictor.depth, patches)
    learnt = of_beats(encoder, patches, visible) + predicted
    return clips * (3 * learnt + of_random_tokens(tokens, patches))
