"""Three events in two recordings, which the golden files of all formats tell, and any events at all."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from hypothesis import strategies as st

from bioacoustics.audio.recordings import Recording
from bioacoustics.data.events import Event

TABLES = Path(__file__).parent / "tables"
EVENTS = [
    Event(
        recording="north/a.wav",
        start_s=0.5,
        end_s=1.75,
        label="coquí común",
        low_hz=1200.0,
        high_hz=3400.5,
        score=0.93,
    ),
    Event(recording="north/a.wav", start_s=8.0, end_s=10.0, label="lluvia"),
    Event(recording="south/b.wav", start_s=0.25, end_s=1.0, label="coquí común", score=0.5),
]
STARTS = {"north/a.wav": datetime(2024, 3, 1, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5)))}


def recordings_below(root: Path) -> list[Recording]:
    """15 s at 8 kHz and 10 s at 16 kHz; there are no files."""
    return [
        Recording(
            path=root / name,
            relative_path=name,
            sample_rate_hz=rate_hz,
            num_channels=1,
            num_samples=seconds * rate_hz,
            container="WAV",
        )
        for name, rate_hz, seconds in (("north/a.wav", 8000, 15), ("south/b.wav", 16000, 10))
    ]


def golden(name: str, root: Path) -> str:
    """A golden file, with the absolute folder of this test in its place."""
    return (TABLES / name).read_bytes().decode().replace("{root}", str(root.absolute()))


def written(path: Path) -> str:
    return path.read_bytes().decode()


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event of the two recordings, on the grid of microseconds and millihertz that tables have."""
    name, duration_s, nyquist_hz = draw(
        st.sampled_from([("north/a.wav", 15, 4000), ("south/b.wav", 10, 8000)])
    )
    start, end = sorted(draw(st.lists(st.integers(0, duration_s * 10**6), min_size=2, max_size=2)))
    low, high = sorted(draw(st.lists(st.integers(1, nyquist_hz * 1000 - 1), min_size=2, max_size=2)))
    has_band = draw(st.booleans())
    letters = st.characters(categories=("L", "N", "P", "S"), exclude_characters="[]")
    words = draw(st.lists(st.text(letters, min_size=1, max_size=8), min_size=1, max_size=3))
    return Event(
        recording=name,
        start_s=start / 10**6,
        end_s=end / 10**6,
        label=" ".join(" ".join(words).split()),
        low_hz=low / 1000 if has_band else None,
        high_hz=high / 1000 if has_band else None,
        score=draw(st.none() | st.integers(0, 1000).map(lambda n: n / 1000)),
    )


def in_order(members: list[Event]) -> list[Event]:
    return sorted(members, key=lambda one: (one.recording, one.start_s, one.end_s, one.label, repr(one)))
