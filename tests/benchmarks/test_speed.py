"""The benchmark of speed: its counts are those of a counter, and every row can be computed."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bioacoustics.models import linear
from bioacoustics.models.eat import EATConfig
from bioacoustics.models.random_projection import RandomProjectionConfig

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMES = ("speed", "speed_models", "speed_reading", "ceilings", "operations")


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmark, imported as it is when it is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("speed")
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("group", ["step", "features", "beats"])
def test_operations_are_those_that_a_counter_sees(
    group: str, speed: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "HAS_ONEDNN_PRODUCT", False)  # the counter does not know this product
    # It counts groups of convolutions wrongly on the way back, and what is computed again: forward only.
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: None)
    operations, counted = importlib.import_module("operations"), []

    def count(self: object, what: str, compute: Callable[[], object], gflop: float) -> dict[str, object]:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            compute()
        counted.append(counter.get_total_flops() / 1e9)
        return {"what": what, "seconds": 1.0, "GFLOP": gflop}

    monkeypatch.setattr(importlib.import_module("ceilings").Meter, "against_ceilings", count)
    rows = list(speed.GROUPS[group](bench()))
    frozen = {
        **dict.fromkeys(
            ("EAT step, 2 x 16 clones", "EAT step, 2 x 16 clones, checkpointing"),
            2 * operations.of_eat(EATConfig.of_size("tiny"), 512),
        ),
        "BEATs step, 2 clips": 2 * operations.of_random_tokens(RandomProjectionConfig(), 512),
    }
    for row, gflop in zip(rows, counted, strict=True):
        once = frozen.get(row["what"], row["GFLOP"])
        # A step makes its log-mel as well, which is too little to be counted.
        assert once + (row["GFLOP"] - once) / 3 == pytest.approx(gflop, rel=0.025), row["what"]


def test_every_row_is_computed_and_saved(
    speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, models = (importlib.import_module(name) for name in ("speed_reading", "speed_models"))
    monkeypatch.setattr(reading, "LOADER_MINUTES", 4)
    monkeypatch.setattr(reading, "LOADER_UPDATES", 4)
    monkeypatch.setattr(reading, "QUICK_MINUTES", 1)
    monkeypatch.setattr(models, "CLIPS", 1)
    monkeypatch.setattr(models, "STEP_CLIPS", 1)
    output, words = tmp_path / "speed.json", "--quick --size tiny --device cpu --recordings nowhere"
    assert speed.main([*words.split(), "--output", str(output)]) == 0
    rows = json.loads(output.read_text())
    assert len(rows) == 1 + 2 + 1 + 4 + 1 + 2 + 3 + 1
    shares = [value for row in rows for name, value in row.items() if name.startswith("share of")]
    assert shares
    assert all(0 < share < 10 for share in shares)


def test_a_row_that_fails_says_so_and_the_others_follow(
    speed: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(bench: object) -> Iterator[dict[str, object]]:
        yield {"what": "a first row"}
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(speed, "GROUPS", {"step": fail, "log_mel": speed.GROUPS["log_mel"]})
    assert speed.main(["--quick", "--size", "tiny", "--device", "cpu", "--only", "step,log_mel"]) == 1
    said = capsys.readouterr().out
    assert said.index("a first row") < said.index("no such kernel") < said.index("times real time")
    with pytest.raises(SystemExit):
        speed.main(["--only", "nothing"])


def test_what_only_a_gpu_is_asked_can_be_asked(speed: ModuleType) -> None:
    models = importlib.import_module("speed_models")
    heads = torch.randn(1, 2, 8, 16)

    def attend() -> None:
        torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)

    activity = torch.profiler.ProfilerActivity.CPU
    assert "flash_attention" in models.attention_kernels(attend, activity)
    assert models.attention_kernels(lambda: None, activity) == "none"
    assert models.flash_works(torch.device("cpu")) in {True, False}


def test_embed_hears_what_the_time_allows(speed: ModuleType) -> None:
    minutes = importlib.import_module("speed_reading").minutes_within
    assert minutes(240, 3.0, 60) == 60  # 2 hours would fit
    assert minutes(240, 0.5, 60) == 20
    assert minutes(240, 0.001, 60) == 1


def bench() -> object:
    ceilings = importlib.import_module("ceilings")
    meter = ceilings.Meter(torch.device("cpu"), num_repetitions=1)
    return ceilings.Bench(
        meter=meter, size="tiny", is_quick=True, recordings=Path("nowhere"), model_path=None, rows=[]
    )
