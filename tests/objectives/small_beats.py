"""Tiny models and synthetic sounds for the tests of BEATs' pre-training."""

from typing import Any

import numpy as np
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.codebook import CodebookConfig
from bioacoustics.models.predictors import Estimator, EstimatorConfig, LabelPredictor, LabelPredictorConfig
from bioacoustics.models.random_projection import RandomProjectionConfig
from bioacoustics.models.tokenizer import DistilledTokenizer, RandomTokenizer
from bioacoustics.objectives.masked_tokens import MaskedTokens, MaskedTokensConfig
from bioacoustics.objectives.token_distillation import TokenDistillation, TokenDistillationConfig

DROPOUTS = ("dropout", "attention_dropout", "activation_dropout", "input_dropout", "layer_drop")
NUM_SAMPLES = 16_000 // 2 + 240  # 50 frames: 3 columns of patches


def beats_config(**changes: Any) -> BEATsConfig:
    small = {
        **{"patch_dim": 24, "embed_dim": 32, "hidden_dim": 64, "depth": 2, "num_heads": 2},
        **{"position_kernel": 8, "position_groups": 4, "num_buckets": 16, "max_distance": 32},
    }
    return BEATsConfig(**(small | dict.fromkeys(DROPOUTS, 0.0) | changes))


def audio_encoder(seed: int = 0, **changes: Any) -> AudioEncoder:
    torch.manual_seed(seed)
    return AudioEncoder(LogMelConfig.beats(), BEATsEncoder(beats_config(**changes)))


def random_tokenizer(num_codes: int = 16) -> RandomTokenizer:
    config = RandomProjectionConfig(num_codes=num_codes, code_dim=8, patch_dim=32)
    return RandomTokenizer(LogMelConfig.beats(), config)


def masked_tokens(num_codes: int = 16, seed: int = 1, **options: Any) -> MaskedTokens:
    encoder = audio_encoder()
    config = LabelPredictorConfig.beside(beats_config(), num_codes=num_codes, depth=1)
    predictor = LabelPredictor(config, encoder.embedding_dim)
    return MaskedTokens(
        encoder, predictor, random_tokenizer(num_codes), MaskedTokensConfig(**options), seed=seed
    )


def distilled_tokenizer(num_codes: int = 16, dim: int = 8, seed: int = 0) -> DistilledTokenizer:
    return DistilledTokenizer(audio_encoder(seed), CodebookConfig(num_codes=num_codes, dim=dim))


def token_distillation(num_codes: int = 16, seed: int = 1, **options: Any) -> TokenDistillation:
    tokenizer, teacher = distilled_tokenizer(num_codes), audio_encoder(seed=3)
    config = EstimatorConfig.beside(beats_config(), target_dim=teacher.embedding_dim, depth=1)
    estimator = Estimator(config, tokenizer.codebook.config.dim)
    return TokenDistillation(tokenizer, estimator, teacher, TokenDistillationConfig(**options), seed=seed)


def chirps(num_clips: int, *, num_samples: int = NUM_SAMPLES, first_draw: int = 0) -> Batch:
    """Sweeps at places and speeds of their own, in a little noise; the same for the same draw."""
    time_s = np.arange(num_samples) / 16_000
    clips = []
    for i in range(first_draw, first_draw + num_clips):
        noise = np.random.default_rng(i).normal(0, 0.001, num_samples)
        low_hz, slope = 300 + 700 * (i % 8), 4000 * (1 + i % 3)
        clips.append(0.3 * np.sin(2 * np.pi * (low_hz + slope * time_s / 2) * time_s) + noise)
    return Batch(
        waveforms=torch.from_numpy(np.stack(clips).astype(np.float32)),
        num_samples=torch.full((num_clips,), num_samples),
        draw_ids=torch.arange(first_draw, first_draw + num_clips),
    )


def shortened(batch: Batch, num_samples: list[int], fill: float = 0.0) -> Batch:
    """The same clips, of which only the beginnings are sound."""
    waveforms = batch.waveforms.clone()
    for row, length in enumerate(num_samples):
        waveforms[row, length:] = fill
    return Batch(waveforms=waveforms, num_samples=torch.tensor(num_samples), draw_ids=batch.draw_ids)
