"""Windows: read the windows of many recordings ahead of a model and hand them over in batches."""

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bioacoustics.audio.reading import Channel, Reading, UnreadableAudioError, stream_segments
from bioacoustics.audio.recordings import Recording, UnreadableFile
from bioacoustics.audio.segments import Segment, SegmentConfig

WINDOWS_AHEAD = 32  # per reading thread: bounds memory, whatever the length of a recording
POLL_S = 0.2  # how soon a reading thread notices that nobody listens any more


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBatch:
    """Windows of one length, ready for a model."""

    positions: tuple[int, ...]  # running number of each window over all recordings, in file order
    segments: tuple[Segment, ...]
    readings: tuple[Reading, ...]
    waveforms: Float[Tensor, "batch samples"]
    num_samples: Int[Tensor, " batch"]


_END = None  # follows the last window of a recording, whatever ended it


@dataclass(slots=True)
class _Lane:
    """One recording on its way from a reading thread to the model."""

    recording: Recording
    windows: "queue.Queue[tuple[Segment, Reading] | None]"
    problem: "Future[UnreadableFile | None]"


class WindowReader:
    """Reads windows in threads, several recordings at once, and yields them in file order.

    Decoding and resampling release the interpreter lock, so threads suffice. Each recording has a bounded
    queue: memory depends on the number of threads and the window, never on the length of a recording.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        config: SegmentConfig,
        *,
        sample_rate_hz: int,
        channel: Channel = "mix",
        num_threads: int = 2,
        min_samples: int = 1,
    ) -> None:
        self.problems: list[UnreadableFile] = []
        self._recordings = recordings
        self._config = config
        self._sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._num_threads = num_threads
        self._min_samples = min_samples

    def __iter__(self) -> Iterator[tuple[int, Segment, Reading]]:
        """Yield (position, segment, reading) in file order; recordings that fail end up in `problems`."""
        stopped = threading.Event()
        ahead: deque[_Lane] = deque()
        position = 0
        with ThreadPoolExecutor(self._num_threads, thread_name_prefix="reader") as pool:
            try:
                for recording in self._recordings:
                    ahead.append(self._lane(pool, recording, stopped))
                    if len(ahead) <= self._num_threads:
                        continue
                    position = yield from self._drained(ahead.popleft(), position)
                while ahead:
                    position = yield from self._drained(ahead.popleft(), position)
            finally:
                stopped.set()

    def batches(self, batch_size: int) -> Iterator[WindowBatch]:
        """Yield batches of windows of equal length, so that no window is padded for its neighbours' sake.

        A window's result then does not depend on which windows happen to be beside it.
        """
        pending: OrderedDict[int, list[tuple[int, Segment, Reading]]] = OrderedDict()
        for window in self:
            num_samples = len(window[2].samples)
            same_length = pending.setdefault(num_samples, [])
            same_length.append(window)
            if len(same_length) == batch_size:
                yield _batch(pending.pop(num_samples))
            elif sum(map(len, pending.values())) >= 8 * batch_size:
                yield _batch(pending.popitem(last=False)[1])
        for rest in pending.values():
            yield _batch(rest)

    def _lane(self, pool: ThreadPoolExecutor, recording: Recording, stopped: threading.Event) -> _Lane:
        windows: queue.Queue[tuple[Segment, Reading] | None] = queue.Queue(WINDOWS_AHEAD)
        return _Lane(recording, windows, pool.submit(self._fill, recording, windows, stopped))

    def _drained(self, lane: _Lane, position: int) -> Generator[tuple[int, Segment, Reading], None, int]:
        """Yield the windows of one recording and return the position after its last."""
        first = position
        while (window := lane.windows.get()) is not _END:
            if len(window[1].samples) < self._min_samples:
                continue
            yield position, *window
            position += 1
        problem = lane.problem.result()  # an unforeseen error of the reading thread is raised here
        if problem is None and position == first:
            needed_ms = 1000 * self._min_samples / self._sample_rate_hz
            found_ms = 1000 * lane.recording.duration_s
            reason = f"too short: {found_ms:.3g} ms, at least {needed_ms:.3g} ms are needed"
            problem = _unreadable(lane.recording, reason)
        if problem is not None:
            self.problems.append(problem)
        return position

    def _fill(
        self,
        recording: Recording,
        windows: "queue.Queue[tuple[Segment, Reading] | None]",
        stopped: threading.Event,
    ) -> UnreadableFile | None:
        """Read one recording into its queue, in a thread; what went wrong with it is returned."""
        try:
            for window in stream_segments(recording, self._config, self._sample_rate_hz, self._channel):
                if not _put(windows, window, stopped):
                    return None
        except UnreadableAudioError as error:
            return _unreadable(recording, error.reason)
        finally:
            _put(windows, _END, stopped)
        return None


def _unreadable(recording: Recording, reason: str) -> UnreadableFile:
    return UnreadableFile(path=recording.path, relative_path=recording.relative_path, reason=reason)


def in_file_order(
    batches: Iterable[tuple[WindowBatch, Float[np.ndarray, "batch values"]]],
) -> Iterator[tuple[Segment, Reading, Float[np.ndarray, " values"]]]:
    """Yield (segment, reading, output row) in file order, holding back only what came too early."""
    early: dict[int, tuple[Segment, Reading, Float[np.ndarray, " values"]]] = {}
    due = 0
    for batch, outputs in batches:
        rows = zip(batch.segments, batch.readings, outputs, strict=True)
        early.update(zip(batch.positions, rows, strict=True))
        while due in early:
            yield early.pop(due)
            due += 1
    assert not early


def _put(windows: "queue.Queue[Any]", window: object, stopped: threading.Event) -> bool:
    """Wait for a free place; False when the consumer has gone."""
    while not stopped.is_set():
        try:
            windows.put(window, timeout=POLL_S)
        except queue.Full:
            continue
        return True
    return False


def _batch(windows: Sequence[tuple[int, Segment, Reading]]) -> WindowBatch:
    waveforms = np.stack([reading.samples for _, _, reading in windows])
    return WindowBatch(
        positions=tuple(position for position, _, _ in windows),
        segments=tuple(segment for _, segment, _ in windows),
        readings=tuple(reading for _, _, reading in windows),
        waveforms=torch.from_numpy(waveforms),
        num_samples=torch.full((len(windows),), waveforms.shape[1], dtype=torch.int64),
    )
