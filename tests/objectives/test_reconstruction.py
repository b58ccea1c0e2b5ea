"""Reconstruction of hidden patches, against a slow and obvious version of it."""

import copy

import pytest
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.saved import bundle_of_pretraining
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.reconstruction import Reconstruction, normalised_patches


def tiny(weight: float) -> MaskedLatent:
    """The same weights at every call, whatever the weight of the reconstruction."""
    torch.manual_seed(0)
    encoder = EATEncoder(EATConfig(embed_dim=32, depth=2, num_heads=2, num_position_columns=16))
    decoder = EATDecoder(DecoderConfig(width=48, num_layers=2), 32)
    config = MaskedLatentConfig(num_clones=3, target_length=192, reconstruction_weight=weight)
    return MaskedLatent(AudioEncoder(LogMelConfig(), encoder), decoder, config, seed=0)


def sound(num_clips: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        waveforms=0.1 * torch.randn(num_clips, 24_000, generator=generator),
        num_samples=torch.full((num_clips,), 24_000),
        draw_ids=torch.arange(50, 50 + num_clips),
    )


def test_patches_are_those_of_the_encoder_each_against_its_own_mean() -> None:
    log_mel = torch.randn(2, 48, 128)
    patches = normalised_patches(log_mel, 16)
    assert patches.shape == (2, 3 * 8, 256)
    for column in range(3):
        for band in range(8):
            patch = log_mel[1, 16 * column : 16 * column + 16, 16 * band : 16 * band + 16]
            expected = (patch - patch.mean()) / (((patch - patch.mean()) ** 2).mean() + 1e-3) ** 0.5
            torch.testing.assert_close(patches[1, 8 * column + band], expected.flatten())
    # The order is that of the encoder: a louder patch changes the token of the same number alone.
    encoder = EATEncoder(EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=3))
    other = log_mel.clone()
    other[:, 16:32, 32:48] *= -1
    is_other_token = (encoder.embed_patches(log_mel) != encoder.embed_patches(other)).any(-1)[0]
    is_other_patch = (normalised_patches(other, 16) != patches).any(-1)[0]
    assert is_other_token.nonzero().flatten().tolist() == is_other_patch.nonzero().flatten().tolist() == [10]


def test_an_even_patch_is_nothing() -> None:
    assert normalised_patches(torch.full((1, 16, 128), 3.0), 16).abs().max() == 0


def test_loss_is_the_mean_square_over_hidden_pixels() -> None:
    reconstruction = Reconstruction(8, 16)
    log_mel, hidden = torch.randn(2, 32, 128), torch.tensor([[[3, 9], [0, 15]], [[1, 2], [14, 5]]])
    pixels = torch.randn(2, 2, 2, 256)
    expected = []
    patches = normalised_patches(log_mel, 16)
    for clip in range(2):
        for clone in range(2):
            for place in range(2):
                wanted = patches[clip, hidden[clip, clone, place]]
                expected.append((pixels[clip, clone, place] - wanted).square().mean())
    torch.testing.assert_close(reconstruction.loss(pixels, log_mel, hidden), torch.stack(expected).mean())


@pytest.mark.parametrize("training", [True, False])
def test_it_is_added_to_what_pretraining_costs(*, training: bool) -> None:
    batch = sound()
    with torch.set_grad_enabled(training):
        without, twice = tiny(0.0)(batch), tiny(2.0)(batch)
    told = twice.terms["reconstruction_loss"]
    torch.testing.assert_close(twice.total, without.total + told)
    assert twice.terms["loss"].item() == twice.total.item()
    assert "reconstruction_loss" not in without.terms
    for name in ("frame_loss", "utterance_loss", "target_std", "prediction_std"):
        torch.testing.assert_close(twice.terms[name], without.terms[name])
    assert 0.9 < told.item() / 2 < 1.6  # of a layer that knows nothing yet


def test_gradients_are_those_of_the_decoder_run_once_over_all_clips() -> None:
    """Clip by clip and computed again, as on the processor, or all at once in plain steps."""
    objective, batch = tiny(1.5), sound(2)
    plain = copy.deepcopy(objective)
    objective(batch).total.backward()

    log_mel = plain.encoder.log_mel(batch.waveforms, batch.num_samples, target_length=192)
    noise = plain.mask_noise(batch.draw_ids, 96)
    masks = _masks(plain, batch)
    cls, grid = plain.encode_visible(log_mel, masks, noise)
    features = plain.decoder.features(grid, 12)
    targets = plain.targets(log_mel)
    assert plain.reconstruction is not None
    pixels = plain.reconstruction(features).view(2, 3, 96, 256)
    predictions = plain.decoder.projection(features).view(2, 3, 96, 32)
    patches = normalised_patches(log_mel, 16)
    of_patches = (pixels - patches[:, None]).square().mean(-1)[masks].mean()
    of_targets = (predictions - targets[:, None]).square().sum(-1)[masks].mean() / 32**0.5
    of_clips = (cls.view(2, 3, -1) - targets.mean(1)[:, None]).square().sum(-1).mean() / 32**0.5
    (of_targets + 192 * of_clips + 1.5 * of_patches).backward()
    for (name, ours), (_, theirs) in zip(objective.named_parameters(), plain.named_parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4, msg=name)
    assert objective.reconstruction is not None
    assert objective.reconstruction.pixels.weight.grad is not None


def test_micro_batches_equal_the_whole_batch() -> None:
    objective, batch = tiny(2.0), sound()
    gradients = []
    for parts in ([batch], [batch.rows(0, 1), batch.rows(1, 4)]):
        objective.zero_grad()
        for part in parts:
            losses = objective(part)
            (losses.total * losses.weight / 4).backward()
        gradients.append([p.grad.clone() for p in objective.parameters() if p.grad is not None])
    for whole, split in zip(*gradients, strict=True):
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=2e-5)


def test_the_model_that_is_saved_is_the_same_kind_as_without() -> None:
    with_layer, without = tiny(1.0), tiny(0.0)
    bundles = [bundle_of_pretraining(o.encoder, o.decoder, o.teacher) for o in (with_layer, without)]
    assert bundles[0].header.fingerprint == bundles[1].header.fingerprint
    assert "reconstruction.pixels.weight" in with_layer.state_dict()  # of the run state, which resumes


def test_it_is_learnt() -> None:
    objective, batch = tiny(20.0), sound(2)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=2e-3)
    history = []
    for update in range(30):
        losses = objective(batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        objective.after_step(update + 1)
        history.append(losses.terms["reconstruction_loss"].item())
    assert history[-1] < 0.97 * history[0]


def _masks(objective: MaskedLatent, batch: Batch) -> torch.Tensor:
    from bioacoustics.objectives.masks import inverse_block_masks

    return inverse_block_masks(
        objective.config.mask, batch.draw_ids, num_columns=12, num_bands=8, num_clones=3, seed=0
    )
