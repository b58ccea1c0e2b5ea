"""Draws: random numbers that are a pure function of (seed, stream, draw id), the same on every device.

Nothing here has a state. A run that is resumed, split over processes or accumulated in micro-batches asks
for the same draw ids and so gets the same numbers. The generator is splitmix64 (Steele, Lea and Flood 2014)
used as a hash of a counter; int64 arithmetic wraps alike on CPU and GPU, so both give the same bits.
"""

from enum import IntEnum

import torch
from jaxtyping import Float, Int
from torch import Tensor

_MASK_64 = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB
_MANTISSA_BITS = 24  # what a float32 in [0, 1) holds exactly
_FEISTEL_ROUNDS = 6


class Stream(IntEnum):
    """What a number is drawn for. The values are part of every trained run: never renumber them."""

    MASK = 1
    MASK_NOISE = 2
    JITTER = 3
    ROLL = 4
    GAIN = 5
    SPEC_AUGMENT = 6
    MIXUP = 7
    NOISE = 8
    REPLACEMENT = 9
    DROPOUT = 10
    SHUFFLE = 11
    SAMPLING = 12
    CODEBOOK = 13


# The compiler adds up the 64-bit constants exactly and then cannot write the sum, which must wrap around.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def uniforms(
    seed: int, stream: int, draw_ids: Int[Tensor, " batch"], count: int
) -> Float[Tensor, "batch count"]:
    """Draw `count` float32 numbers in [0, 1) for each row, on the device of `draw_ids`."""
    keys = _mixed_tensor(draw_ids.long() * _signed(_GAMMA) + _signed(_stream_key(seed, stream)))
    counters = torch.arange(1, count + 1, dtype=torch.int64, device=draw_ids.device) * _signed(_GAMMA)
    bits = _shifted_right(_mixed_tensor(keys[:, None] + counters), 64 - _MANTISSA_BITS)
    return bits.to(torch.float32) * 2.0**-_MANTISSA_BITS


def uniform(seed: int, stream: int, draw_id: int, count: int) -> list[float]:
    """Draw the same numbers as `uniforms` for one row, without PyTorch."""
    key = _row_key(seed, stream, draw_id)
    bits = [_mixed(key + i * _GAMMA) >> (64 - _MANTISSA_BITS) for i in range(1, count + 1)]
    return [value * 2.0**-_MANTISSA_BITS for value in bits]


def seed_of(seed: int, stream: int, draw_id: int) -> int:
    """Derive a seed in [0, 2**63) for a `torch.Generator` or `torch.manual_seed`."""
    return _mixed(_row_key(seed, stream, draw_id)) >> 1


def permuted(position: int, size: int, seed: int, epoch: int) -> int:
    """Where `position` goes in this epoch's shuffle of `range(size)`; takes no memory, however large `size`.

    A Feistel network permutes the smallest square power of two that holds `size`; values outside are walked
    along their cycle until they fall inside (Black and Rogaway 2002): fewer than four steps on average.

    Raises:
        ValueError: `position` is not in `range(size)`.
    """
    if not 0 <= position < size:
        raise ValueError(f"position {position} is outside range({size})")
    half_bits = max(2, ((size - 1).bit_length() + 1) // 2)
    key = _row_key(seed, Stream.SHUFFLE, epoch)
    value = _feistel(position, half_bits, key)
    while value >= size:
        value = _feistel(value, half_bits, key)
    return value


def _feistel(value: int, half_bits: int, key: int) -> int:
    half_mask = (1 << half_bits) - 1
    left, right = value >> half_bits, value & half_mask
    for i in range(_FEISTEL_ROUNDS):
        left, right = right, left ^ (_mixed(key + (i << 56) + right * _GAMMA) >> (64 - half_bits))
    return (left << half_bits) | right


def _row_key(seed: int, stream: int, draw_id: int) -> int:
    return _mixed(draw_id * _GAMMA + _stream_key(seed, stream))


def _stream_key(seed: int, stream: int) -> int:
    # Hashed twice, so that (seed 1, stream 2) and (seed 2, stream 1) have nothing in common.
    return _mixed(_mixed(seed + _GAMMA) + stream * _GAMMA)


def _mixed(value: int) -> int:
    """The output function of splitmix64: a bijection of 64-bit integers."""
    value &= _MASK_64
    value = ((value ^ (value >> 30)) * _MULTIPLIER_1) & _MASK_64
    value = ((value ^ (value >> 27)) * _MULTIPLIER_2) & _MASK_64
    return value ^ (value >> 31)


def _mixed_tensor(values: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    values = (values ^ _shifted_right(values, 30)) * _signed(_MULTIPLIER_1)
    values = (values ^ _shifted_right(values, 27)) * _signed(_MULTIPLIER_2)
    return values ^ _shifted_right(values, 31)


def _shifted_right(values: Int[Tensor, "*shape"], num_bits: int) -> Int[Tensor, "*shape"]:
    """Shift as unsigned integers: PyTorch's own shift of int64 would copy the sign bit in."""
    return (values >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    return value - (1 << 64) if value >> 63 else value
