"""Windows: read the windows of many recordings ahead of a model and hand them over in batches."""

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.audio.band import WHOLE, Band
from bioacoustics.audio.reading import Channel, Finding, Reading, UnreadableAudioError, stream_segments
from bioacoustics.audio.recordings import Recording, UnreadableFile
from bioacoustics.audio.segments import Segment, SegmentConfig

WINDOWS_AHEAD = 32  # per reading thread: bounds memory, whatever the length of a recording
POLL_S = 0.2  # how soon a reading thread notices that nobody listens any more


@dataclass(frozen=True, slots=True)
class Take:
    """One channel of a recording, or its channels mixed, from one of its windows on."""

    recording: Recording
    channel: Channel = "mix"
    first_window: int = 0  # those before it were heard in an earlier run


@dataclass(frozen=True, slots=True)
class Ending:
    """A take was read to its end; `problem` says why nothing, or not all of it, could be used."""

    take: Take
    end: int  # the position after its last window
    problem: UnreadableFile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBatch:
    """Windows of one length, ready for a model."""

    positions: tuple[int, ...]  # running number of each window over all takes, in file order
    takes: tuple[Take, ...]
    segments: tuple[Segment, ...]
    readings: tuple[Reading, ...]
    waveforms: Float[Tensor, "batch samples"]
    num_samples: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.positions)

    def rows(self, first: int, stop: int) -> "WindowBatch":
        """Some of the windows."""
        part = slice(first, stop)
        return WindowBatch(
            positions=self.positions[part],
            takes=self.takes[part],
            segments=self.segments[part],
            readings=self.readings[part],
            waveforms=self.waveforms[part],
            num_samples=self.num_samples[part],
        )


@dataclass(frozen=True, slots=True)
class _Window:
    position: int
    take: Take
    segment: Segment
    reading: Reading


@dataclass(frozen=True, slots=True)
class Output:
    """What a model said of one window."""

    position: int
    take: Take
    segment: Segment
    findings: frozenset[Finding]
    values: Float[np.ndarray, " values"]


_END = None  # follows the last window of a recording, whatever ended it


@dataclass(slots=True)
class _Lane:
    """One take on its way from a reading thread to the model."""

    take: Take
    windows: "queue.Queue[tuple[Segment, Reading] | None]"
    problem: "Future[UnreadableFile | None]"


class WindowReader:
    """Reads windows in threads, several takes at once, and yields them in file order.

    Decoding and resampling release the interpreter lock, so threads suffice. Each take has a bounded queue:
    memory depends on the number of threads and the window, never on the length of a recording.
    `endings` tells which takes have been read to their end, in order.
    """

    def __init__(
        self,
        takes: Sequence[Take],
        config: SegmentConfig,
        *,
        sample_rate_hz: int,
        num_threads: int = 2,
        min_samples: int = 1,
        band: Band = WHOLE,
    ) -> None:
        self.endings: deque[Ending] = deque()
        self._takes = takes
        self._config = config
        self._sample_rate_hz = sample_rate_hz
        self._num_threads = num_threads
        self._min_samples = min_samples
        self._band = band

    def __iter__(self) -> "Iterator[_Window]":
        """Yield windows in file order; what went wrong with a take is told by its ending."""
        stopped = threading.Event()
        ahead: deque[_Lane] = deque()
        position = 0
        with ThreadPoolExecutor(self._num_threads, thread_name_prefix="reader") as pool:
            try:
                for take in self._takes:
                    ahead.append(self._lane(pool, take, stopped))
                    if len(ahead) <= self._num_threads:
                        continue
                    position = yield from self._drained(ahead.popleft(), position)
                while ahead:
                    position = yield from self._drained(ahead.popleft(), position)
            finally:
                stopped.set()

    def batches(self, batch_size: Callable[[], int]) -> Iterator[WindowBatch]:
        """Yield batches of windows of equal length, so that no window is padded for its neighbours' sake.

        A window's result then does not depend on which windows happen to be beside it. `batch_size` is asked
        again for each window: it may change on the way.
        """
        pending: OrderedDict[int, list[_Window]] = OrderedDict()  # by length, the oldest first
        for window in self:
            num_samples = len(window.reading.samples)
            same_length = pending.setdefault(num_samples, [])
            same_length.append(window)
            if len(same_length) >= batch_size():
                yield _batch(pending.pop(num_samples))
            # A window of rare length must not wait for its like: all that follow would wait for their turn.
            while pending and window.position - _first(pending)[0].position >= 8 * batch_size():
                yield _batch(pending.popitem(last=False)[1])
        for rest in pending.values():
            yield _batch(rest)

    def _lane(self, pool: ThreadPoolExecutor, take: Take, stopped: threading.Event) -> _Lane:
        windows: queue.Queue[tuple[Segment, Reading] | None] = queue.Queue(WINDOWS_AHEAD)
        return _Lane(take, windows, pool.submit(self._fill, take, windows, stopped))

    def _drained(self, lane: _Lane, position: int) -> "Generator[_Window, None, int]":
        """Yield the windows of one take and return the position after its last."""
        first = position
        while (window := lane.windows.get()) is not _END:
            if len(window[1].samples) < self._min_samples:
                continue
            yield _Window(position, lane.take, *window)
            position += 1
        problem = lane.problem.result()  # an unforeseen error of the reading thread is raised here
        if problem is None and position == first and not lane.take.first_window:
            recording = lane.take.recording
            needed_ms = 1000 * self._min_samples / self._sample_rate_hz
            found_ms = 1000 * recording.duration_s
            reason = f"too short: {found_ms:.3g} ms, at least {needed_ms:.3g} ms are needed"
            problem = _unreadable(recording, reason)
        self.endings.append(Ending(lane.take, position, problem))
        return position

    def _fill(
        self,
        take: Take,
        windows: "queue.Queue[tuple[Segment, Reading] | None]",
        stopped: threading.Event,
    ) -> UnreadableFile | None:
        """Read one take into its queue, in a thread; what went wrong with it is returned."""
        try:
            for window in stream_segments(
                take.recording,
                self._config,
                self._sample_rate_hz,
                take.channel,
                first=take.first_window,
                band=self._band,
            ):
                if not _put(windows, window, stopped):
                    return None
        except UnreadableAudioError as error:
            return _unreadable(take.recording, error.reason)
        finally:
            _put(windows, _END, stopped)
        return None


def _unreadable(recording: Recording, reason: str) -> UnreadableFile:
    return UnreadableFile(path=recording.path, relative_path=recording.relative_path, reason=reason)


def in_file_order(
    batches: Iterable[tuple[WindowBatch, Float[np.ndarray, "batch values"]]],
) -> Iterator[Output]:
    """Yield the outputs of a model in file order, holding back only what came too early."""
    early: dict[int, Output] = {}
    due = 0
    for batch, outputs in batches:
        rows = zip(batch.positions, batch.takes, batch.segments, batch.readings, outputs, strict=True)
        for position, take, segment, reading, values in rows:
            early[position] = Output(position, take, segment, reading.findings, values)
        while due in early:
            yield early.pop(due)
            due += 1
    assert not early


def _first(pending: "OrderedDict[int, list[_Window]]") -> "list[_Window]":
    return next(iter(pending.values()))


def _put(windows: "queue.Queue[Any]", window: object, stopped: threading.Event) -> bool:
    """Wait for a free place; False when the consumer has gone."""
    while not stopped.is_set():
        try:
            windows.put(window, timeout=POLL_S)
        except queue.Full:
            continue
        return True
    return False


def _batch(windows: "Sequence[_Window]") -> WindowBatch:
    waveforms = np.stack([window.reading.samples for window in windows])
    return WindowBatch(
        positions=tuple(window.position for window in windows),
        takes=tuple(window.take for window in windows),
        segments=tuple(window.segment for window in windows),
        readings=tuple(window.reading for window in windows),
        waveforms=torch.from_numpy(waveforms),
        num_samples=torch.full((len(windows),), waveforms.shape[1], dtype=torch.int64),
    )
