"""Processes: what all processes of a training know together; with one process, what it knows itself."""

import atexit

import torch
import torch.distributed
from torch import Tensor


def summed(value: Tensor) -> Tensor:
    """The sum over all processes, the same in each; every one of them must ask."""
    if not _are_several():
        return value
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total


def gathered(value: Tensor) -> Tensor:
    """The rows of all processes, in their order; each must bring as many."""
    if not _are_several():
        return value
    parts = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)


def take_from_first(values: list[Tensor]) -> None:
    """Replace the values of every process by those of the first."""
    if _are_several():
        for value in values:
            torch.distributed.broadcast(value, src=0)


def is_first() -> bool:
    """Whether this is the process that does what only one is to do."""
    return not _are_several() or torch.distributed.get_rank() == 0


def leave_at_exit() -> None:
    """Let this process leave its group before the interpreter ends, however it ends.

    Threads of a group that is still there by then may abort the process, whatever it has done before.
    """
    atexit.unregister(_leave)
    atexit.register(_leave)


def _leave() -> None:
    if _are_several():
        torch.distributed.destroy_process_group()


def _are_several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
