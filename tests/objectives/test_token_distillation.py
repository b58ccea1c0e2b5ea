"""Token distillation: codes move alike however rows are shared out, and only in training; models learn."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small_beats import (
    NUM_SAMPLES,
    audio_encoder,
    chirps,
    distilled_tokenizer,
    shortened,
    token_distillation,
)
from torch import Tensor

from bioacoustics.data.batches import Batch
from bioacoustics.models.audio_encoder import AudioClassifier
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.predictors import Estimator, EstimatorConfig
from bioacoustics.objectives.token_distillation import TokenDistillation, TokenDistillationConfig
from bioacoustics.training.optimizer import OptimizerConfig, Updater

LENGTHS = [NUM_SAMPLES, 4000, NUM_SAMPLES, 7000, 300]


def update(objective: TokenDistillation, batches: list[Batch]) -> dict[str, Tensor]:
    """Gather gradients and statistics over micro-batches and move the codes; the gradients."""
    for batch in batches:
        losses = objective(batch)
        (losses.total * losses.weight).backward()
    objective.after_step(1)
    return {name: w.grad.clone() for name, w in objective.named_parameters() if w.grad is not None}


def state(objective: TokenDistillation) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in objective.state_dict().items()}


def test_losses_equal_the_slow_way() -> None:
    objective = token_distillation(commitment_weight=3.0).train()
    batch = shortened(chirps(5), LENGTHS)
    losses = objective(batch)
    cosines, distances = [], []
    for row, length in enumerate(LENGTHS):
        alone = batch.waveforms[row : row + 1, : max(length, 400)]
        alone[:, length:] = 0
        num_samples = torch.tensor([length])
        log_mel = objective.tokenizer.log_mel(alone, num_samples)
        num_frames = objective.tokenizer.num_frames(num_samples, alone.shape[1])
        projected, is_padding = objective.tokenizer.project(log_mel, num_frames)
        unit = F.normalize(projected, dim=-1)
        codes = objective.tokenizer.codebook.vectors[objective.tokenizer.tokenize(log_mel, num_frames)]
        estimate = objective.estimator(codes, is_padding)
        target = objective.teacher.features(log_mel, num_frames).patches
        real = ~is_padding
        cosines.append(F.cosine_similarity(estimate, target, dim=-1)[real])
        distances.append((codes - unit).square().mean(dim=-1)[real])
    expected = 1 - torch.cat(cosines).mean() + 3 * torch.cat(distances).mean()
    torch.testing.assert_close(losses.total, expected, rtol=1e-4, atol=1e-5)
    assert float(losses.weight) == sum(len(part) for part in cosines)
    assert float(losses.terms["cosine"]) == pytest.approx(float(torch.cat(cosines).detach().mean()), abs=1e-5)


@pytest.mark.parametrize("restart_after", [None, 1])
def test_any_split_moves_codes_and_weights_alike(restart_after: int | None) -> None:
    whole = token_distillation(num_codes=64, restart_after=restart_after).train()
    split = copy.deepcopy(whole)
    batch = shortened(chirps(5), LENGTHS)
    one = update(whole, [batch])
    other = update(split, [batch.rows(0, 1), batch.rows(1, 4), batch.rows(4, 5)])
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=1e-4, atol=1e-4, msg=name)
    for name, value in state(whole).items():
        torch.testing.assert_close(value, state(split)[name], msg=name)


def test_evaluation_changes_nothing() -> None:
    objective = token_distillation(restart_after=1).eval()
    before = state(objective)
    objective(chirps(3))
    objective.after_step(1)
    moved = {name for name, value in state(objective).items() if not torch.equal(value, before[name])}
    assert moved <= {"idle_updates", "tokenizer.codebook.vectors"}  # renormalised: nothing else
    torch.testing.assert_close(objective.tokenizer.codebook.vectors, before["tokenizer.codebook.vectors"])


def test_idle_codes_begin_anew_on_patches_of_the_update() -> None:
    objective = token_distillation(num_codes=32, restart_after=2).train()
    codebook, batch = objective.tokenizer.codebook, chirps(4)
    codebook.vectors.copy_(F.normalize(torch.cat([torch.ones(1, 8), -torch.ones(31, 8)]), dim=-1))
    with torch.no_grad():
        projected, _ = objective.tokenizer.project(
            *(
                objective.tokenizer.log_mel(batch.waveforms, batch.num_samples),
                objective.tokenizer.num_frames(batch.num_samples, batch.waveforms.shape[1]),
            )
        )
    patches = F.normalize(projected, dim=-1).flatten(0, 1)
    for number in range(2):
        objective(batch)
        assert not (codebook.vectors[2:] @ patches.T > 0.9999).any() or number
        objective.after_step(number + 1)
    is_idle = objective.idle_updates == 0
    assert is_idle.all()  # used, or begun anew
    nearest = (codebook.vectors @ patches.T).max(dim=1).values
    assert (nearest[2:] > 0.9999).all()
    assert len(torch.unique(codebook.vectors[2:], dim=0)) == 30  # each on a patch of its own


def test_codes_stay_where_they_are_without_a_wish() -> None:
    objective = token_distillation(num_codes=32).train()
    before = objective.tokenizer.codebook.vectors.clone()
    objective(chirps(2))
    unused = objective.new_counts == 0
    assert unused.any()
    objective.after_step(1)
    torch.testing.assert_close(objective.tokenizer.codebook.vectors[unused], before[unused])
    assert not torch.allclose(objective.tokenizer.codebook.vectors[~unused], before[~unused])


def test_starts_from_clusters_once_and_only_when_asked() -> None:
    objective = token_distillation()
    objective.train()(chirps(2))
    assert objective.tokenizer.codebook.is_started == 0
    objective.start([chirps(3), chirps(3, first_draw=3)])
    assert objective.training
    started = objective.tokenizer.codebook.vectors.clone()
    assert objective.tokenizer.codebook.is_started == 1
    objective.start([chirps(2, first_draw=9)])
    assert torch.equal(objective.tokenizer.codebook.vectors, started)


def test_a_classifier_teaches_the_logits_of_each_patch() -> None:
    torch.manual_seed(0)
    encoder = audio_encoder()
    head = ClassificationHead(HeadConfig(num_classes=5, prediction_mode="MEAN_LOGITS"), 32)
    teacher = AudioClassifier(encoder, head, tuple("abcde"), multi_label=True).eval()
    tokenizer = distilled_tokenizer()
    shape = EstimatorConfig.beside(tokenizer.encoder.config, target_dim=5, depth=1)
    objective = TokenDistillation(
        tokenizer, Estimator(shape, 8), teacher, TokenDistillationConfig(), seed=1
    ).train()
    targets = objective._targets(chirps(2))
    assert targets.shape == (2, 24, 5)
    log_mel = teacher.log_mel(chirps(2).waveforms)
    torch.testing.assert_close(targets.mean(dim=1), teacher.logits(log_mel))
    objective(chirps(2)).total.backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert not teacher.training


def test_learns_to_tell_its_teacher_in_seconds() -> None:
    objective = token_distillation(restart_after=20).train()
    sounds = chirps(4)
    objective.start([sounds])
    first = float(objective(sounds).terms["cosine"])  # about 0
    objective.after_step(0)
    config = OptimizerConfig(num_updates=40, learning_rate=3e-3, warmup_updates=4, clip_norm=1.0)
    updater = Updater(objective, config)
    for number in range(config.num_updates):
        objective.zero_grad()
        objective(sounds).total.backward()
        updater.step(number, torch.ones(()))
        objective.after_step(number + 1)
    terms = objective.eval()(sounds).terms
    assert float(terms["cosine"]) > first + 0.5
    assert float(terms["code_perplexity"]) > 4


PROGRAM = """
import sys
import torch
import torch.distributed
sys.path.insert(0, {folder!r})
from small_beats import chirps, shortened, token_distillation
from test_token_distillation import LENGTHS, state

torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
objective = token_distillation(num_codes=64, restart_after=1).train()
batch = shortened(chirps(5), LENGTHS)
objective.start([batch] if rank == 0 else [])
for number in range(2):
    objective(batch.rows(0, 2) if rank == 0 else batch.rows(2, 5))
    objective.after_step(number + 1)
torch.save(state(objective), {folder_out!r} + f"/{{rank}}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    """Codes, their usage, and which begin anew, after the start by k-means."""
    folder = str(Path(__file__).parent)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(folder=folder, folder_out=str(tmp_path)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(program)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    one = token_distillation(num_codes=64, restart_after=1).train()
    batch = shortened(chirps(5), LENGTHS)
    one.start([batch])
    for number in range(2):
        one(batch)
        one.after_step(number + 1)
    assert (one.idle_updates == 0).all()  # some have begun anew
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name, value in state(one).items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, msg=name)
