"""Parts give back what was committed, after any number of restarts."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from bioacoustics.audio.recordings import Recording
from bioacoustics.inference.windows import Ending, Take
from bioacoustics.workflows.parts import WINDOW, Parts, values_of

RECORDING = Recording(
    path=Path("a.wav"), relative_path="a.wav", sample_rate_hz=16_000, num_channels=1, num_samples=1,
    container="WAV",
)  # fmt: skip
ENDING = Ending(Take(RECORDING), 0, None)


def windows(rows: list[tuple[str, float]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "recording": name, "channel": "mix", "start_s": start_s, "end_s": start_s + 1,
                "findings": "dc" if start_s == 1 else "", "values": [start_s, 2.0],
            }
            for name, start_s in rows
        ],
        WINDOW,
    )  # fmt: skip


def test_what_was_committed_is_found_again_also_a_part_without_windows(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    parts.add(windows([("a", 0.0), ("a", 1.0), ("b", 0.0)]), [(("a", "mix"), ENDING)])
    Parts(tmp_path / "parts").add(windows([("b", 1.0)]), [])
    Parts(tmp_path / "parts").add(windows([]), [(("b", "mix"), ENDING)])
    found = Parts(tmp_path / "parts")
    marks = found.marks()
    assert {key: (mark.last_start_s, mark.is_done, mark.findings) for key, mark in marks.items()} == {
        ("a", "mix"): (1.0, True, {"dc"}),
        ("b", "mix"): (1.0, True, {"dc"}),
    }
    of_b = pa.concat_tables(found.windows_of(("b", "mix")))
    np.testing.assert_array_equal(values_of(of_b), [[0, 2], [1, 2]])
    assert list(found.windows_of(("c", "mix"))) == []
    found.remove()
    assert list(tmp_path.iterdir()) == []
