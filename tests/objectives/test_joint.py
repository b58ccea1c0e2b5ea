"""The joint objective: each term is that of its rows alone, however an update is split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.data.batches import Batch
from bioacoustics.data.windows import Origin
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.objectives.classification import Classification, ClassificationConfig
from bioacoustics.objectives.contrastive import Contrastive, ContrastiveConfig
from bioacoustics.objectives.joint import Joint, JointConfig
from bioacoustics.objectives.masked_latent import MaskedLatent, MaskedLatentConfig
from bioacoustics.objectives.objective import Losses
from bioacoustics.training.metrics import RunningMeans

SIZE = EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=16)
NUM_ROWS = {"unlabeled": 4, "labeled": 3, "positive": 3, "negative": 2}
NUM_SAMPLES = 5360  # 32 frames and what the last one needs


def joint(
    num_rows: dict[str, int] | None = None, *, has_cached_features: bool = False, **weights: float
) -> Joint:
    torch.manual_seed(0)
    num_rows = num_rows or NUM_ROWS
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(SIZE))
    head = ClassificationHead(HeadConfig(num_classes=2, prediction_mode="MEAN_POOLING", refines=True), 32)
    torch.nn.init.normal_(head.head.weight)
    classifier = AudioClassifier(encoder, head, ("a", "b"), multi_label=True, target_length=32)
    masked = MaskedLatentConfig(target_length=32, num_clones=2)
    has = num_rows.keys()
    contrastive = Contrastive(
        None if has_cached_features else encoder, head, ContrastiveConfig(projection_dim=8, bank_size=6)
    )
    return Joint(
        JointConfig(has_cached_features=has_cached_features, **weights),
        num_rows,
        self_supervised=MaskedLatent(
            encoder, EATDecoder(DecoderConfig(width=32, num_layers=1), 32), masked, seed=1
        )
        if "unlabeled" in has
        else None,
        classification=Classification(
            classifier, ClassificationConfig(freezes_encoder=has_cached_features), seed=1
        ),
        contrastive=contrastive if "positive" in has else None,
        seed=1,
    )


def batch_of(update: int, num_rows: dict[str, int], num_samples: int = NUM_SAMPLES) -> Batch:
    """One update with its sources mixed; what is not known of a row is NaN."""
    generator = torch.Generator().manual_seed(update)
    names = [name for name, count in num_rows.items() for _ in range(count)]
    order = torch.randperm(len(names), generator=generator).tolist()
    targets = {
        "unlabeled": [np.nan, np.nan],
        "labeled": [1.0, np.nan],
        "positive": [np.nan, 1.0],
        "negative": [np.nan, 0.0],
    }
    origins = [
        Origin(name, item=10 * i, recording=i, label=0 if name == "positive" else -1)
        for i, name in enumerate(names)
    ]
    return Batch(
        waveforms=0.1 * torch.randn(len(names), num_samples, generator=generator),
        num_samples=torch.full((len(names),), num_samples),
        draw_ids=torch.arange(len(names)) + update * len(names),
        targets=torch.tensor([targets[names[i]] for i in order]),
        origins=tuple(origins[i] for i in order),
    )


def learn(objective: Joint, updates: int, splits: list[list[int]]) -> list[dict[str, float]]:
    """Plain gradient descent as the loop does it, each update in the given parts; the logged means."""
    rows = []
    optimizer = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.01)
    for update in range(updates):
        batch, means = batch_of(update, objective.num_rows), RunningMeans(torch.device("cpu"))
        losses: list[Losses] = []
        for part in splits:
            found = objective(batch.at(part))
            means.add(found)
            losses.append(found)
        weight = sum(found.weight for found in losses)
        optimizer.zero_grad()
        torch.stack([found.total * found.weight for found in losses]).sum().div(weight).backward()
        optimizer.step()
        objective.after_step(update + 1)
        rows.append(means.means())
    return rows


def test_how_an_update_is_split_changes_nothing() -> None:
    num = sum(NUM_ROWS.values())
    whole, split = joint(), joint()
    one = learn(whole, 3, [list(range(num))])
    other = learn(split, 3, [[0], [1, 2, 3, 4, 5], [6, 7], [8, 9, 10, 11]])
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if not name.endswith("_std"):  # a spread over the patches of a micro-batch
                assert b[name] == pytest.approx(a[name], rel=2e-4, abs=1e-5), name
    for (name, a), b in zip(whole.state_dict().items(), split.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


def test_the_total_is_the_weighted_sum_of_the_terms_of_each_source() -> None:
    weights = {"self_supervised_weight": 0.5, "supervised_weight": 0.3, "detector_weight": 2.0}
    objective = joint(contrastive_weight=0.7, **weights)
    learn(objective, 2, [list(range(12))])  # so that the banks hold something
    batch = batch_of(7, NUM_ROWS)
    losses = objective(batch)
    terms = losses.terms
    expected = (
        0.5 * terms["self_supervised_loss"]
        + 0.3 * terms["supervised_loss"]
        + 2.0 * terms["detector_loss"]
        + 0.7 * (terms["contrastive_loss"] + terms["repulsion_loss"])
    )
    torch.testing.assert_close(losses.total, expected)
    assert terms["contrastive_loss"] > 0
    assert terms["repulsion_loss"] > 0
    unlabeled = [i for i, origin in enumerate(batch.origins) if origin.source == "unlabeled"]
    assert objective.self_supervised is not None
    alone = objective.self_supervised(batch.at(unlabeled)).total
    torch.testing.assert_close(terms["self_supervised_loss"], alone)


def test_labels_that_are_not_known_do_not_count() -> None:
    objective = joint().eval()
    batch = batch_of(0, NUM_ROWS)
    labeled = [i for i, origin in enumerate(batch.origins) if origin.source == "labeled"]
    part = batch.at(labeled)
    assert objective.classification is not None
    classifier = objective.classification.classifier
    with torch.no_grad():
        first = classifier.logits(classifier.log_mel(part.waveforms, part.num_samples))[:, 0]
        found = objective(part).terms["supervised_loss"]
    torch.testing.assert_close(found, torch.nn.functional.softplus(-first).mean())


@pytest.mark.parametrize("sources", [("labeled",), ("positive", "negative"), ("unlabeled", "labeled")])
def test_sources_may_be_absent(sources: tuple[str, ...]) -> None:
    num_rows = {name: NUM_ROWS[name] for name in sources}
    objective = joint(num_rows)
    (row,) = learn(objective, 1, [list(range(sum(num_rows.values())))])
    names = {
        "unlabeled": "self_supervised_loss",
        "labeled": "supervised_loss",
        "positive": "contrastive_loss",
        "negative": "repulsion_loss",
    }
    assert {source for source, name in names.items() if name in row} == set(sources)


@pytest.mark.parametrize(
    ("sources", "rows"),
    [
        (("labeled",), 3),
        (("unlabeled", "labeled"), 4 * 2 + 3),  # the student hears two masked clones of what has no labels
        (("positive", "negative"), 3 + 2),
    ],
)
def test_an_absent_source_costs_nothing(sources: tuple[str, ...], rows: int) -> None:
    """No row is encoded for it, and no teacher, key encoder or bank is kept."""
    num_rows = {name: NUM_ROWS[name] for name in sources}
    objective = joint(num_rows)
    heard: dict[str, int] = {}
    for name, module in objective.named_modules():
        if name.endswith("blocks.0") and "decoder" not in name:
            module.register_forward_hook(
                lambda _, inputs, __, name=name: heard.update({name: heard.get(name, 0) + len(inputs[0])})
            )
    objective(batch_of(0, num_rows)).total.backward()
    learning = {name for name, weight in objective.named_parameters() if weight.requires_grad}
    of_student = [count for name, count in heard.items() if f"{name}.attn.qkv.weight" in learning]
    assert sum(of_student) == rows
    assert len(heard) == 1 + ("unlabeled" in sources) + ("positive" in sources)
    parts = {name.split(".")[0] for name in objective.state_dict()}
    assert ("self_supervised" in parts, "contrastive" in parts) == (
        "unlabeled" in sources,
        "positive" in sources,
    )


def test_every_micro_batch_reaches_every_parameter() -> None:
    """The exchange of gradients between processes would wait for one that is left out, forever."""
    objective = joint()
    batch = batch_of(0, NUM_ROWS)
    labeled = [i for i, origin in enumerate(batch.origins) if origin.source == "labeled"]
    objective(batch.at(labeled)).total.backward()
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)


def test_cached_features_are_two_views_side_by_side() -> None:
    num_rows = {"positive": 3, "negative": 2}
    objective = joint(num_rows, has_cached_features=True)
    batch = batch_of(3, num_rows, num_samples=64)
    losses = objective(batch)
    losses.total.backward()
    assert objective.classification is not None and objective.contrastive is not None
    assert all(p.grad is None for p in objective.classification.classifier.encoder.parameters())
    head = objective.classification.classifier.head
    assert head.hidden is not None
    of_detector, *_ = torch.autograd.grad(
        objective._logits(batch.waveforms[:, :32]).sum(),
        [head.hidden.weight, head.head.weight],
        allow_unused=True,
    )
    assert of_detector is None  # not by name
    positives = [i for i, origin in enumerate(batch.origins) if origin.source == "positive"]
    keys = objective.contrastive.keys(batch.waveforms[positives, 32:])
    waiting = objective.contrastive._waiting["positives"][0]
    torch.testing.assert_close(waiting.features, keys)
    assert waiting.items.tolist() == [batch.origins[i].item for i in positives]
    objective.after_step(1)  # from now on there is something to compare with
    objective(batch_of(4, num_rows, num_samples=64)).total.backward()
    assert head.hidden.weight.grad is not None
    assert head.hidden.weight.grad.abs().sum() > 0


def test_evaluation_hears_clips_as_they_are_and_leaves_the_banks_alone() -> None:
    objective = joint()
    learn(objective, 1, [list(range(12))])
    objective.eval()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    batch = batch_of(5, NUM_ROWS)
    with torch.no_grad():
        first = objective(batch).terms
        second = objective(replace(batch, draw_ids=batch.draw_ids + 100)).terms
        probabilities = objective.probabilities(batch)
    for name in ("supervised_loss", "detector_loss", "contrastive_loss", "repulsion_loss"):
        torch.testing.assert_close(first[name], second[name], msg=name)
    objective.after_step(2)
    assert torch.equal(
        before["contrastive.positives.steps"], objective.state_dict()["contrastive.positives.steps"]
    )
    assert objective.classification is not None
    classifier = objective.classification.classifier
    with torch.inference_mode():
        torch.testing.assert_close(probabilities.float(), classifier(batch.waveforms, batch.num_samples))
