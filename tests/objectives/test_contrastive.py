"""The contrastive loss against a slow obvious version, its read-outs, its banks over processes."""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.objectives.contrastive import Contrastive, ContrastiveConfig, supervised_contrastive
from bioacoustics.objectives.memory_bank import Keys

DIM, PROJECTED = 10, 6


def contrastive_of(**settings: float) -> Contrastive:
    torch.manual_seed(0)
    head = ClassificationHead(HeadConfig(num_classes=2, refines=True), DIM)
    torch.nn.init.normal_(head.fc_norm.weight)
    config = ContrastiveConfig.model_validate({"projection_dim": PROJECTED, **settings})
    return Contrastive(None, head, config)


def clips(seed: int, count: int, *, first_item: int = 0, num_items: int = 6, num_classes: int = 2) -> Keys:
    """Random unit vectors of clips; the recording is any, so that it or the item alone can exclude a pair."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(0, num_items, (count,), generator=generator)
    features = torch.randn(count, PROJECTED, generator=generator)
    return Keys(
        features=torch.nn.functional.normalize(features, dim=1),
        draw_ids=torch.arange(count) + 1000 * seed,
        items=items + first_item,
        recordings=torch.randint(0, num_items // 2, (count,), generator=generator),
        classes=items % num_classes,
    )


def slow_loss(
    anchors: Keys, queries: torch.Tensor, past: list[tuple[Keys, Keys]], module: Contrastive
) -> float:
    """The loss as one would write it down: loops over anchors and over what they are compared with."""
    config, size = module.config, module.config.bank_size
    positives = [(k, i) for k, _ in past for i in range(len(k))][-size:]
    negatives = [(k, i) for _, k in past for i in range(len(k))][-size:]
    is_warm = len(past) >= config.warmup_updates
    losses = []
    for row, z in enumerate(queries):
        item, recording, label = (int(v[row]) for v in (anchors.items, anchors.recordings, anchors.classes))
        similar = [float(z @ anchors.features[row])]
        different = []
        for keys, i in positives:
            if int(keys.items[i]) == item:
                continue
            s = float(z @ keys.features[i])
            if int(keys.classes[i]) != label:
                different.append((s, 1.0))
            elif int(keys.recordings[i]) != recording:
                similar.append(s)
        of_negatives = sorted((float(z @ keys.features[i]) for keys, i in negatives), reverse=True)
        num_dropped = math.floor(config.dropped_share * len(of_negatives)) if is_warm else 0
        different += [(s, config.negative_weight) for s in of_negatives[num_dropped:]]
        beta = config.hardness if is_warm else 0.0
        mean = sum(math.exp(beta * s) for s, _ in different) / max(1, len(different))
        denominator = sum(math.exp(s / config.temperature) for s in similar) + sum(
            weight * math.exp(beta * s) / mean * math.exp(s / config.temperature) for s, weight in different
        )
        terms = [math.log(math.exp(s / config.temperature) / denominator) for s in similar]
        losses.append(-sum(terms) / len(terms))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("bank_size", [1, 4, 9, 64])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize(("num_positives", "num_negatives"), [(1, 0), (5, 3), (6, 7)])
@pytest.mark.parametrize("settings", [{}, {"hardness": 0.0, "negative_weight": 3.0}, {"dropped_share": 0.3}])
def test_loss_is_that_of_the_slow_version(
    bank_size: int, num_classes: int, num_positives: int, num_negatives: int, settings: dict[str, float]
) -> None:
    module = contrastive_of(bank_size=bank_size, warmup_updates=2, temperature=0.2, **settings)
    past: list[tuple[Keys, Keys]] = []
    for update in range(5):
        anchors = clips(update, num_positives, num_classes=num_classes)
        others = clips(50 + update, num_negatives, first_item=100)
        queries = clips(90 + update, num_positives).features
        found = module(queries, anchors)
        assert found.total.item() == pytest.approx(slow_loss(anchors, queries, past, module), rel=1e-4)
        assert found.weight.item() == num_positives
        module.remember(anchors, others)
        module.after_step(update + 1)
        past.append((anchors, others))


def test_read_outs_are_what_they_say() -> None:
    module = contrastive_of(bank_size=8)
    for update in range(3):
        module.remember(clips(update, 3), clips(50 + update, 2, first_item=100))
        module.after_step(update + 1)
    anchors, queries = clips(7, 4), clips(8, 4).features
    terms = {name: value.item() for name, value in module(queries, anchors).terms.items()}
    positive, negative, harder = [], [], []
    for row, z in enumerate(queries):
        same, other = [float(z @ anchors.features[row])], []
        bank = module.positives
        for slot in bank.is_valid.nonzero().flatten().tolist():
            s = float(z @ bank.features[slot])
            if bank.items[slot] == anchors.items[row]:
                continue
            if bank.classes[slot] != anchors.classes[row]:
                other.append(s)
            elif bank.recordings[slot] != anchors.recordings[row]:
                same.append(s)
        other += [float(z @ v) for v in module.negatives.features[module.negatives.is_valid]]
        positive.append(sum(same) / len(same))
        negative.append(sum(other) / len(other))
        harder.append(sum(s > positive[-1] for s in other) / len(other))
    assert terms["positive_similarity"] == pytest.approx(sum(positive) / 4, abs=1e-5)
    assert terms["negative_similarity"] == pytest.approx(sum(negative) / 4, abs=1e-5)
    assert terms["harder_negatives"] == pytest.approx(sum(harder) / 4, abs=1e-5)
    distances = (queries - anchors.features).square().sum(dim=1)
    assert terms["alignment"] == pytest.approx(distances.mean().item(), abs=1e-5)
    held = torch.cat([bank.features[bank.is_valid] for bank in (module.positives, module.negatives)])
    pairs = torch.pdist(held).square().mul(-2).exp().mean().log()
    assert terms["uniformity"] == pytest.approx(pairs.item(), abs=1e-4)
    # 8 of 9 positives are left, of the updates 1 (two), 2 and 3; 6 negatives of the three.
    assert terms["bank_age"] == pytest.approx(((2 * 2 + 3 * 1 + 0) / 8 + (2 * 2 + 2 * 1 + 0) / 6) / 2)
    assert terms["bank_filled"] == pytest.approx((1 + 6 / 8) / 2)


def test_an_anchor_without_positives_is_skipped_and_poisons_nothing() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.5, 0.1]], requires_grad=True)
    is_positive = torch.tensor([[True, False], [False, False]])
    log_weights = torch.tensor([[0.0, 0.0], [-torch.inf, -torch.inf]])
    losses, has_positive = supervised_contrastive(logits, is_positive, log_weights)
    assert has_positive.tolist() == [True, False]
    assert losses.tolist() == pytest.approx([math.log(1 + math.e), 0.0])
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().sum() == 0


def test_the_mean_is_outside_the_logarithm() -> None:
    """L_out of two positives is the mean of their losses, which the logarithm of their mean is not."""
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    is_positive = torch.tensor([[True, True, False]])
    losses, _ = supervised_contrastive(logits, is_positive, torch.zeros(1, 3))
    probabilities = logits.softmax(dim=1)[0]
    assert losses.item() == pytest.approx(-0.5 * float(probabilities[0].log() + probabilities[1].log()))


def test_momentum_is_a_moving_average_and_0_is_the_encoder_itself() -> None:
    for momentum in (0.0, 0.9):
        module = contrastive_of(momentum=momentum, bank_size=4)
        before = module.slow[-1].weight.clone()
        with torch.no_grad():
            module.projection.weight.add_(1.0)
        empty = clips(0, 0)
        module.remember(empty, empty)
        module.after_step(1)
        expected = momentum * before + (1 - momentum) * module.projection.weight
        torch.testing.assert_close(module.slow[-1].weight, expected)
        pooled = torch.randn(3, DIM)
        if momentum == 0:
            torch.testing.assert_close(module.keys(pooled), module.queries(pooled).detach())


def test_gradients_flow_through_anchors_only() -> None:
    module = contrastive_of(bank_size=4)
    module.remember(clips(0, 3), clips(1, 3))
    module.after_step(1)
    pooled = torch.randn(2, DIM, requires_grad=True)
    keys = clips(2, 2)
    losses = module(module.queries(pooled), Keys(**{**vars(keys), "features": module.keys(pooled)}))
    losses.total.backward()
    assert pooled.grad is not None
    assert pooled.grad.abs().sum() > 0
    assert module.projection.weight.grad is not None
    assert all(p.grad is None for p in module.slow.parameters())


def test_half_precision_changes_little() -> None:
    module = contrastive_of(bank_size=8, temperature=0.05)
    module.remember(clips(0, 5), clips(1, 6))
    module.after_step(1)
    pooled, keys = torch.randn(4, DIM), clips(2, 4)
    full = module(module.queries(pooled), keys).total
    with torch.autocast("cpu", torch.bfloat16):
        losses = module(module.queries(pooled), keys)
    assert losses.total.dtype == torch.float32
    torch.testing.assert_close(losses.total, full, rtol=0.05, atol=0.05)


def processes(folder: Path, world: int) -> list[dict[str, object]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = str(Path(__file__).with_name("split_keys.py"))
    shared = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    running = [
        subprocess.Popen([sys.executable, script, str(folder)], env={**shared, "RANK": str(rank)})
        for rank in range(world)
    ]
    assert [process.wait(timeout=120) for process in running] == [0] * world
    return [torch.load(folder / f"{world}_{rank}.pt", weights_only=True) for rank in range(world)]


def test_any_number_of_processes_equals_one(tmp_path: Path) -> None:
    """Banks are equal in all processes, hold the same clips as with one, and lead to the same weights."""
    (one,) = processes(tmp_path, 1)
    for world in (2, 3):
        first, *others = processes(tmp_path, world)
        torch.testing.assert_close(first["state"], one["state"], rtol=1e-4, atol=1e-6)
        assert first["exact"] == one["exact"]
        for other in others:
            assert other["exact"] == first["exact"]
            torch.testing.assert_close(other["state"], first["state"], rtol=0, atol=0)


def slow_repulsion(queries: torch.Tensor, module: Contrastive) -> float:
    """What negatives cost the positives in the bank, as one would write it down."""
    config, bank = module.config, module.positives
    slots = bank.is_valid.nonzero().flatten().tolist()
    weight = config.negative_weight * int(module.negatives.is_valid.sum())
    costs = []
    for z in queries:
        errors = []
        for i in slots:
            positives = math.exp(1 / config.temperature)  # itself
            for p in slots:
                if bank.classes[p] == bank.classes[i] and bank.recordings[p] != bank.recordings[i]:
                    positives += math.exp(float(bank.features[i] @ bank.features[p]) / config.temperature)
            negatives = weight * math.exp(float(z @ bank.features[i]) / config.temperature)
            errors.append(math.log(1 + negatives / positives))
        costs.append(sum(errors) / len(errors))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("bank_size", [3, 20])
def test_repulsion_is_that_of_the_slow_version(num_classes: int, bank_size: int) -> None:
    module = contrastive_of(bank_size=bank_size, negative_weight=2.0, dropped_share=0.0, temperature=0.3)
    for update in range(3):
        others = clips(50 + update, 4, first_item=100)
        module.remember(clips(update, 5, num_classes=num_classes), others)
        module.after_step(update + 1)
    queries = clips(90, 4).features
    found = module.repulsion(queries)
    assert found.total.item() == pytest.approx(slow_repulsion(queries, module), rel=1e-4)
    assert found.weight.item() == 4


def test_a_suspicious_negative_is_not_pushed_away() -> None:
    module = contrastive_of(bank_size=10, dropped_share=0.2, warmup_updates=1)
    positives, negatives = clips(0, 2, num_items=100), clips(1, 10, first_item=100, num_items=100)
    positives.features[1] = torch.nn.functional.normalize(positives.features.sum(dim=0), dim=0)
    negatives.features[3] = torch.nn.functional.normalize(positives.features.sum(dim=0), dim=0)
    module.remember(positives, negatives)
    module.after_step(1)
    similarities = negatives.features @ positives.features.T
    ranks = similarities.argsort(dim=0, descending=True).argsort(dim=0)
    left_alone = set()
    for row in range(10):
        queries = negatives.features[row : row + 1].clone().requires_grad_()
        module.repulsion(queries).total.backward()
        assert queries.grad is not None
        if queries.grad.abs().sum() == 0:
            left_alone.add(row)
    assert left_alone == {row for row in range(10) if (ranks[row] < 2).all()}
    assert 3 in left_alone  # between both positives


def test_learning_separates_what_is_nearly_alike() -> None:
    """Neither side stands still: positives and negatives that share almost everything end far apart."""
    torch.manual_seed(0)
    common, difference = 5 * torch.randn(DIM), torch.randn(DIM)
    noise = torch.randn(40, DIM)
    is_positive = torch.arange(40) < 20
    pooled = common + torch.where(is_positive[:, None], difference, -difference) * 0.3 + 0.1 * noise
    module = contrastive_of(bank_size=40, momentum=0.0)
    head = module._fast[0]
    assert isinstance(head, ClassificationHead)
    head.standardise(pooled)
    normed = head.fc_norm(pooled)
    torch.testing.assert_close(normed.mean(dim=0), torch.zeros(DIM), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.std(dim=0, correction=0), torch.ones(DIM), atol=1e-3, rtol=0)
    optimizer = torch.optim.AdamW([*head.parameters(), *module.projection.parameters()], lr=3e-3)
    items = torch.arange(40)
    for update in range(150):
        vectors = module.keys(pooled)
        keys = Keys(features=vectors, draw_ids=items, items=items, recordings=items, classes=items * 0)
        queries = module.queries(pooled)
        total = module(queries[:20], keys.at(items[:20])).total + module.repulsion(queries[20:]).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        module.remember(keys.at(items[:20]), keys.at(items[20:]))
        module.after_step(update + 1)
    with torch.no_grad():
        z = module.queries(pooled)
    assert (z[:20] @ z[:20].T).mean() > 0.8
    assert (z[:20] @ z[20:].T).mean() < 0.2
