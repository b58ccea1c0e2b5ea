"""Memory bank: the newest keys of earlier updates, first in, first out, the same in every process."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.distributed
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

NO_CLASS = -1
_LAST_DRAW = 2**63 - 1  # of rows that only fill up a process with fewer keys than another


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Feature vectors of clips, and which clips they are of.

    `draw_ids` order them: however an update was split, its keys come into the bank in this order.
    """

    features: Float[Tensor, "rows dim"]
    draw_ids: Int[Tensor, " rows"]
    items: Int[Tensor, " rows"]
    recordings: Int[Tensor, " rows"]
    classes: Int[Tensor, " rows"]

    def __len__(self) -> int:
        return self.features.shape[0]

    def at(self, rows: Int[Tensor, " chosen"]) -> "Keys":
        """The keys at these rows."""
        return Keys(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def none(cls, dim: int, device: torch.device) -> "Keys":
        """No keys at all."""
        numbers = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(
            features=torch.zeros(0, dim, device=device),
            draw_ids=numbers,
            items=numbers,
            recordings=numbers,
            classes=numbers,
        )

    @classmethod
    def joined(cls, parts: Sequence["Keys"]) -> "Keys":
        """All keys of several parts, one after the other."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


class MemoryBank(nn.Module):
    """A ring of `size` unit vectors with what is known about each; slots never written are not valid.

    Everything is a buffer: a run that is saved and resumed has its bank again.
    """

    features: Float[Tensor, "slots dim"]
    items: Int[Tensor, " slots"]
    recordings: Int[Tensor, " slots"]
    classes: Int[Tensor, " slots"]
    steps: Int[Tensor, " slots"]
    is_valid: Bool[Tensor, " slots"]
    position: Int[Tensor, ""]

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"a memory bank needs at least one slot, got {size}")
        self.size = size
        self.register_buffer("features", torch.zeros(size, dim))
        for name in ("items", "recordings", "classes"):
            self.register_buffer(name, torch.full((size,), NO_CLASS))
        self.register_buffer("steps", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("is_valid", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, keys: Keys, step: int) -> None:
        """Overwrite the oldest slots with these keys, in the order of their draw ids.

        Keys that are not finite (half precision can overflow) take a slot, but are not valid: one would
        poison every loss until it is overwritten.
        """
        keys = keys.at(keys.draw_ids.argsort(stable=True))
        num_keys = len(keys)
        if num_keys > self.size:  # of more keys than slots the newest stay
            keys = keys.at(torch.arange(num_keys - self.size, num_keys, device=keys.draw_ids.device))
        first = self.position + num_keys - len(keys)
        slots = (first + torch.arange(len(keys), device=first.device)) % self.size
        features = F.normalize(keys.features.float(), dim=-1)
        is_finite = features.isfinite().all(dim=-1)
        self.features[slots] = features.masked_fill(~is_finite[:, None], 0.0)
        self.items[slots], self.recordings[slots] = keys.items, keys.recordings
        self.classes[slots] = keys.classes
        self.steps[slots] = step
        self.is_valid[slots] = is_finite
        self.position.copy_((self.position + num_keys) % self.size)

    def mean_age(self, step: int | Int[Tensor, ""]) -> Float[Tensor, ""]:
        """How many updates ago the valid entries were made, on average; 0 of an empty bank."""
        ages = (step - self.steps).float() * self.is_valid
        return ages.sum() / self.is_valid.sum().clamp(min=1)


@torch.no_grad()
def gathered(keys: Keys) -> Keys:
    """The keys of all processes in the order of their draw ids; every process must ask, with or without."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return keys
    num_processes = torch.distributed.get_world_size()
    if num_processes == 1:
        return keys
    count = torch.tensor([len(keys)], device=keys.features.device)
    counts = [torch.zeros_like(count) for _ in range(num_processes)]
    torch.distributed.all_gather(counts, count)
    most = int(torch.cat(counts).max())
    values = {field.name: _of_all(getattr(keys, field.name), most, num_processes) for field in fields(Keys)}
    everyone = Keys(**values)
    order = everyone.draw_ids.argsort(stable=True)
    return everyone.at(order[: int(torch.cat(counts).sum())])


def _of_all(values: Tensor, num_rows: int, num_processes: int) -> Tensor:
    """Rows of all processes in rank order, each filled up to `num_rows` with draw ids that sort last."""
    padded = values.new_full((num_rows, *values.shape[1:]), 0 if values.is_floating_point() else _LAST_DRAW)
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in range(num_processes)]
    torch.distributed.all_gather(parts, padded)
    return torch.cat(parts)
