"""How near to the machine's own ceiling do we compute? Prints one table and writes one JSON.

Run: python benchmarks/speed.py [--output speed.json]    at most a quarter of an hour on two cores
     python benchmarks/speed.py --quick                  at most four minutes: fewer repetitions, less sound
     python benchmarks/speed.py --only step,embed        some groups of rows; --help names them all

Every row is a share of what the machine reaches in one large product, measured around it in the same
process (`ceilings.py`). On a GPU the same command adds rows that only a GPU has. A row that fails says why
and the others follow; the JSON is written after each, so that an interrupted run keeps what it had.
"""

import argparse
import faulthandler
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import torch
from ceilings import Bench, Meter, Row
from speed_models import beats_rows, feature_rows, log_mel_rows, precision_rows, step_rows
from speed_reading import embed_rows, loader_rows

from bioacoustics.cli.memory import keep_freed_memory
from bioacoustics.inference.device import pick_device
from bioacoustics.models.eat import Size

GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "step": step_rows,  # first, because its memory is that of the process
    "features": feature_rows,
    "beats": beats_rows,
    "log_mel": log_mel_rows,
    "precision": precision_rows,
    "loader": loader_rows,
    "embed": embed_rows,
}
WHOLE_S, QUICK_S = 900, 240


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print and save; 1 if a row failed."""
    flags = _flags(words)
    most_s = (QUICK_S if flags.quick else WHOLE_S) * (4 if flags.processor_time else 1)
    faulthandler.dump_traceback_later(most_s, exit=True, file=sys.__stderr__)  # whatever hangs
    deadline = time.monotonic() + 0.8 * most_s
    if flags.processor_time:
        torch.set_num_threads(1)
    keep_freed_memory()  # as the commands do
    torch.manual_seed(0)
    bench = Bench(
        meter=Meter(
            pick_device(flags.device),
            num_repetitions=2 if flags.quick else 5,
            most_s=most_s / 30,
            by_processor=flags.processor_time,
        ),
        size=flags.size,
        is_quick=flags.quick,
        recordings=flags.recordings,
        model_path=flags.model_path,
        rows=[],
    )
    for row in _rows(bench, flags.only, deadline):
        bench.rows.append(row)
        _print(row)
        if flags.output is not None:
            flags.output.write_text(json.dumps(bench.rows, indent=1) + "\n")
    faulthandler.cancel_dump_traceback_later()
    return int(any("failed" in row for row in bench.rows))


def _flags(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=_groups, default=tuple(GROUPS), help=", ".join(GROUPS))
    parser.add_argument("--output", type=Path, help="JSON to write")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--size", choices=get_args(Size), default="base", help="others only show that all runs"
    )
    parser.add_argument(
        "--processor_time", action="store_true", help="one thread, for a machine that others use meanwhile"
    )
    parser.add_argument("--recordings", type=Path, default=Path("../shared/data/unlabeled"))
    parser.add_argument("--model_path", type=Path, help="trained weights for the cosines of lower precision")
    return parser.parse_args(words)


def _groups(words: str) -> tuple[str, ...]:
    chosen = tuple(words.split(","))
    unknown = sorted(set(chosen) - set(GROUPS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such rows: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    return chosen


def _rows(bench: Bench, groups: Sequence[str], deadline: float) -> Iterator[Row]:
    yield _machine(bench)
    for name in groups:
        if time.monotonic() > deadline:
            yield {"what": name, "left out": "no time was left; --only measures it alone"}
            continue
        try:
            yield from GROUPS[name](bench)
        except Exception as error:  # one row that fails on a machine that nobody saw must not cost the others
            traceback.print_exc()
            yield {"what": name, "failed": f"{type(error).__name__}: {error}"}


def _machine(bench: Bench) -> Row:
    meter = bench.meter
    row: Row = {"what": "machine", "torch": torch.__version__, "threads": torch.get_num_threads()}
    row["device"] = (
        torch.cuda.get_device_name() if meter.is_gpu else "processor; without a GPU no GPU row was measured"
    )
    row["size of the models"] = bench.size
    row |= {f"ceiling {name}": f"{rate:.0f} GFLOP/s" for name, rate in meter.ceilings().items()}
    return row | {"copy": f"{meter.copy_rate():.0f} GB/s"}


def _print(row: Row) -> None:
    values = (f"{name} {value}" for name, value in row.items() if name != "what")
    print(f"{row['what']:40}", *values, sep=" | ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
