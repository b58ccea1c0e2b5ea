"""A few updates of a contrastive module whose rows are shared by processes; saves its state."""

import hashlib
import os
import sys

import torch
import torch.distributed

from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.objectives.contrastive import Contrastive, ContrastiveConfig
from bioacoustics.objectives.memory_bank import Keys
from bioacoustics.objectives.processes import leave_at_exit

NUM_UPDATES, NUM_POSITIVES, NUM_NEGATIVES, DIM = 6, 7, 5, 12


def rows_of(update: int) -> tuple[torch.Tensor, Keys]:
    """Pooled features of anchors and negatives of one update, and which clips they are."""
    generator = torch.Generator().manual_seed(update)
    num_rows = NUM_POSITIVES + NUM_NEGATIVES
    pooled = torch.randn(num_rows, DIM, generator=generator)
    items = torch.randint(0, 9, (num_rows,), generator=generator)
    items[NUM_POSITIVES:] += 100
    about = Keys(
        features=torch.zeros(num_rows, 1),
        draw_ids=update * num_rows + torch.arange(num_rows),
        items=items,
        recordings=items // 2,
        classes=items % 2,
    )
    return pooled, about


def main() -> None:
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        torch.distributed.init_process_group("gloo")
        leave_at_exit()
    torch.manual_seed(0)
    head = ClassificationHead(HeadConfig(num_classes=2, refines=True), DIM)
    config = ContrastiveConfig(projection_dim=4, bank_size=16, momentum=0.5, dropped_share=0.1)
    contrastive = Contrastive(None, head, config)
    parameters = [*head.parameters(), *contrastive.projection.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for update in range(NUM_UPDATES):
        pooled, about = rows_of(update)
        shares = [pooled.new_zeros(()), pooled.new_zeros(())]
        mine = [i for i in range(len(about)) if (i * 7) % world == rank]  # not in order, not evenly shared
        for part in (mine[: len(mine) // 3], mine[len(mine) // 3 :]):
            own = torch.tensor([i for i in part if i < NUM_POSITIVES], dtype=torch.int64)
            others = torch.tensor([i for i in part if i >= NUM_POSITIVES], dtype=torch.int64)
            vectors = contrastive.keys(pooled)
            keys = Keys(**{**vars(about), "features": vectors})
            losses = contrastive(contrastive.queries(pooled[own]), keys.at(own))
            shares[0] = shares[0] + losses.total * losses.weight
            shares[1] = shares[1] + losses.weight
            contrastive.remember(keys.at(own), keys.at(others))
        optimizer.zero_grad()
        shares[0].backward()
        gradients = torch.cat(
            [torch.zeros(p.shape).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
        )
        total = torch.cat([gradients, shares[1][None], shares[0].detach()[None]])
        if world > 1:
            torch.distributed.all_reduce(total)
        start = 0
        for parameter in parameters:
            parameter.grad = (total[start : start + parameter.numel()] / total[-2]).view_as(parameter)
            start += parameter.numel()
        optimizer.step()
        contrastive.after_step(update + 1)
    state = contrastive.state_dict()
    exact = hashlib.sha256(
        b"".join(v.numpy().tobytes() for n, v in state.items() if not v.is_floating_point())
    )
    torch.save({"state": state, "exact": exact.hexdigest()}, f"{sys.argv[1]}/{world}_{rank}.pt")


if __name__ == "__main__":
    main()
