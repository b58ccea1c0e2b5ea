"""Masked tokens: nothing leaks, padding is nothing, any split of rows is alike, and tiny models learn."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_beats import NUM_SAMPLES, audio_encoder, chirps, masked_tokens, random_tokenizer, shortened
from torch import Tensor

from bioacoustics.objectives.masked_tokens import MaskedTokens
from bioacoustics.objectives.masks import scattered_mask
from bioacoustics.training.optimizer import OptimizerConfig, Updater


def gradients(objective: MaskedTokens) -> dict[str, Tensor]:
    return {
        name: weight.grad.clone() for name, weight in objective.named_parameters() if weight.grad is not None
    }


@pytest.mark.parametrize("positions", ["true", "packed"])
def test_masked_patches_cannot_leak(positions: str) -> None:
    """What the encoder makes of visible patches does not change when the masked ones do."""
    objective = masked_tokens(positions=positions).eval()
    log_mel = objective.encoder.log_mel(chirps(3).waveforms)
    is_padding = torch.zeros(3, 24, dtype=torch.bool)
    mask = scattered_mask(0.75, torch.arange(3), is_padding, seed=1)
    before = objective.encode_visible(log_mel, mask)
    patches = log_mel[:, :48].unfold(1, 16, 16).unfold(2, 16, 16).flatten(1, 2)  # batch patches 16 16
    noise = torch.randn_like(patches)
    changed = torch.where(mask.is_masked[..., None, None], noise, patches)
    changed = changed.unflatten(1, (3, 8)).permute(0, 1, 3, 2, 4).reshape(3, 48, 128)
    torch.testing.assert_close(objective.encode_visible(changed, mask), before)
    seen = torch.where(mask.is_masked[..., None, None], patches, noise)
    seen = seen.unflatten(1, (3, 8)).permute(0, 1, 3, 2, 4).reshape(3, 48, 128)
    assert not torch.allclose(objective.encode_visible(seen, mask), before)


def test_true_positions_are_those_of_the_whole_sequence() -> None:
    """Patches that are all visible have the features of the whole clip, whatever the rule of positions."""
    batch = chirps(2)
    features = {}
    for positions in ("true", "packed"):
        objective = masked_tokens(positions=positions).eval()
        log_mel = objective.encoder.log_mel(batch.waveforms)
        everything = scattered_mask(1e-6, batch.draw_ids, torch.zeros(2, 24, dtype=torch.bool), seed=1)
        features[positions] = objective.encode_visible(log_mel, everything)
        torch.testing.assert_close(features[positions], objective.encoder.features(log_mel).patches)
        mask = scattered_mask(0.5, batch.draw_ids, torch.zeros(2, 24, dtype=torch.bool), seed=1)
        features[f"half {positions}"] = objective.encode_visible(log_mel, mask)
    assert not torch.allclose(features["half true"], features["half packed"])


def test_losses_equal_the_slow_way() -> None:
    objective = masked_tokens(label_smoothing=0.1).train()
    batch = shortened(chirps(3), [NUM_SAMPLES, NUM_SAMPLES, 6000])
    objective.usage.counts[5] = 10
    losses = objective(batch)
    log_mel = objective.encoder.log_mel(batch.waveforms, batch.num_samples)
    num_frames = objective.encoder.num_frames(batch.num_samples, NUM_SAMPLES)
    is_padding = objective.encoder.features(log_mel, num_frames).is_padding
    assert is_padding.sum(dim=1).tolist() == [0, 0, 8]  # 6000 samples are 36 frames: two whole columns
    tokens = objective.tokenizer.tokenize(log_mel)
    mask = scattered_mask(0.75, batch.draw_ids, is_padding, seed=1)
    logits = objective.predictor(
        objective.encode_visible(log_mel, mask), mask.places, mask.is_missing, is_padding
    )
    errors, right, commonest = [], [], []
    for row in range(3):
        for patch in mask.is_masked[row].nonzero().flatten().tolist():
            log_p, token = F.log_softmax(logits[row, patch], dim=0), int(tokens[row, patch])
            errors.append(-(0.9 * log_p[token] + 0.1 * log_p.mean()))
            right.append(float(log_p.argmax() == token))
            commonest.append(float(token == 5))
    assert float(losses.weight) == len(errors) == 18 + 18 + 12
    torch.testing.assert_close(losses.total, torch.stack(errors).mean())
    assert float(losses.terms["masked_accuracy"]) == pytest.approx(sum(right) / len(right))
    assert float(losses.terms["majority_accuracy"]) == pytest.approx(sum(commonest) / len(commonest))
    assert float(objective.usage.new_counts.sum()) == 24 + 24 + 16


def test_what_lies_in_the_padding_does_not_matter() -> None:
    objective = masked_tokens().eval()
    lengths = [NUM_SAMPLES, 4000, 300]
    quiet, loud = (objective(shortened(chirps(3), lengths, fill)) for fill in (0.0, 0.9))
    torch.testing.assert_close(quiet.total, loud.total)
    assert quiet.weight == loud.weight
    alone = [objective(shortened(chirps(1, first_draw=i), [n])) for i, n in enumerate(lengths)]
    weighted = sum(losses.total * losses.weight for losses in alone) / sum(losses.weight for losses in alone)
    torch.testing.assert_close(quiet.total, weighted)


@pytest.mark.parametrize("options", [{}, {"positions": "packed"}])
def test_micro_batches_give_the_gradient_of_the_whole(options: dict[str, Any]) -> None:
    whole = masked_tokens(**options).train()
    split = copy.deepcopy(whole)
    batch = shortened(chirps(5), [NUM_SAMPLES, 4000, NUM_SAMPLES, 7000, NUM_SAMPLES])
    losses = whole(batch)
    (losses.total * losses.weight).backward()
    total = torch.zeros(())
    for start, stop in ((0, 1), (1, 4), (4, 5)):
        part = split(batch.rows(start, stop))
        (part.total * part.weight).backward()
        total += part.weight
    assert total == losses.weight
    for (name, one), other in zip(gradients(whole).items(), gradients(split).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, msg=name)
    for objective in (whole, split):
        objective.after_step(1)
    torch.testing.assert_close(whole.usage.counts, split.usage.counts)


def test_every_weight_learns_but_the_tokenizer() -> None:
    objective = masked_tokens().train()
    objective(chirps(4)).total.backward()
    assert gradients(objective).keys() == {
        name for name, _ in objective.named_parameters() if not name.startswith("tokenizer.")
    }
    assert not objective.tokenizer.training
    tokens = masked_tokens()
    tokens.predictor.mask_token = torch.nn.Parameter(torch.ones(32))
    tokens(chirps(4)).total.backward()
    assert tokens.predictor.mask_token.grad.any()


def test_evaluation_changes_nothing_and_repeats_itself() -> None:
    objective = masked_tokens().eval()
    before = copy.deepcopy(objective.state_dict())
    one, again = objective(chirps(4)), objective(chirps(4))
    assert one.terms == again.terms
    for name, value in objective.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not objective.usage.new_counts.any()


def test_tokenizer_and_predictor_must_have_as_many_codes() -> None:
    objective = masked_tokens()
    with pytest.raises(ValueError, match="chooses from 16 codes, the tokenizer has 8"):
        MaskedTokens(audio_encoder(), objective.predictor, random_tokenizer(8), objective.config, seed=1)


def test_a_tokenizer_may_hear_differently_from_the_encoder() -> None:
    objective = masked_tokens()
    other = random_tokenizer()
    other.front_end.config = other.front_end.config.model_copy(update={"mean": 10.0, "std": 5.0})
    expected = other.tokenize(other.log_mel(chirps(2).waveforms, chirps(2).num_samples))
    mixed = MaskedTokens(objective.encoder, objective.predictor, other, objective.config, seed=1)
    mixed.train()(chirps(2))
    assert torch.equal(mixed.usage.new_counts.long(), torch.bincount(expected.flatten(), minlength=16))


def test_learns_two_sounds_in_seconds() -> None:
    """Masked patches of steady tones are told far better than by always saying the commonest token."""
    time_s = torch.arange(NUM_SAMPLES) / 16_000
    tones = [
        0.2 * sum(torch.sin(6.2832 * hz * time_s) for hz in chord) for chord in ((400, 2500), (900, 5000))
    ]
    sounds = chirps(2)
    waveforms = torch.stack(tones) + 0.001 * sounds.waveforms
    objective = masked_tokens(mask_ratio=0.6).train()
    # Distances that differ from the start: a long training learns them, a short one has no time for it.
    torch.nn.init.normal_(objective.predictor.transformer.relative_bias.table)
    config = OptimizerConfig(num_updates=350, learning_rate=5e-3, warmup_updates=25, clip_norm=1.0)
    updater = Updater(objective, config)
    gain = []
    for number in range(config.num_updates):
        draws = torch.arange(2) + 2 * number  # other masks of the same sounds
        losses = objective(replace(sounds, waveforms=waveforms, draw_ids=draws))
        losses.total.backward()
        updater.step(number, torch.ones(()))
        objective.after_step(number + 1)
        gain.append(float(losses.terms["masked_accuracy"] - losses.terms["majority_accuracy"]))
    assert sum(gain[:25]) / 25 < 0.05
    assert sum(gain[-25:]) / 25 > 0.12
