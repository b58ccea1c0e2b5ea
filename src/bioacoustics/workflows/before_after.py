"""Before and after: two encoders measured on the same clips, with labels or without."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.recordings import Recording
from bioacoustics.audio.segments import SegmentConfig, SegmentIndex
from bioacoustics.data.batches import EVALUATION_DRAWS, DataConfig
from bioacoustics.data.loading import EvaluationLoader
from bioacoustics.data.splits import group_of
from bioacoustics.data.windows import SegmentWindows, Windows
from bioacoustics.inference.clip_features import ClipFeatures, Pooling, clip_features, clip_windows
from bioacoustics.inference.device import DeviceChoice, pick_device
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.saved import load_encoder
from bioacoustics.training.attentive import attentive_probe
from bioacoustics.training.linear import linear_probe
from bioacoustics.training.probes import (
    Interval,
    Measure,
    Probe,
    ProbeResult,
    ProbeTask,
    difference_of,
    effective_rank,
    interval_of,
    mel_statistics,
    nearest_probe,
    neighbour_consistency,
    retrieval,
)
from bioacoustics.workflows.labelled_clips import SplitConfig, labelled_clips
from bioacoustics.workflows.verdict import Verdict, verdict_of

POOLING: Pooling = "mean_std"  # the mean alone forgets how much a sound varies
SHORT_FRAMES = 96  # windows of about a second for neighbour consistency: several in a short recording
MOST_SHORT_WINDOWS = 4_000
MOST_PATCH_BYTES = 2 * 2**30  # of patch features; more clips than that and the attentive probe is left out

JUDGES: tuple[Probe, ...] = ("nearest", "linear", "attentive")


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What was measured before and after.

    Attributes:
        verdict: What follows from it.
        before: A result for every probe.
        after: The same probes, in the same order.
        baseline: The probes on mel statistics, of which nothing is learnt; none without labels.
        vectors: The embedding of each clip or window, before and after.
        recordings: The recording of each row.
        names: What each row is called: its labels, or its recording.
    """

    verdict: Verdict
    before: tuple[ProbeResult, ...]
    after: tuple[ProbeResult, ...]
    baseline: tuple[ProbeResult, ...]
    vectors: tuple[Float[np.ndarray, "clips dim"], Float[np.ndarray, "clips dim"]]
    recordings: tuple[Recording, ...]
    names: tuple[str, ...]

    @cached_property
    def scores(self) -> tuple["Score", ...]:
        """Every probe with its intervals; drawn once, as that takes seconds."""
        known = {result.probe: result for result in self.baseline}
        return tuple(
            Score(
                probe=one.probe,
                measure=one.measure,
                before=interval_of(one),
                after=interval_of(other),
                difference=difference_of([one], [other]),
                mel_statistics=interval_of(known[one.probe]) if one.probe in known else None,
            )
            for one, other in zip(self.before, self.after, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Score:
    """One probe before and after, and on mel statistics where that was tried."""

    probe: Probe
    measure: Measure
    before: Interval
    after: Interval
    difference: Interval
    mel_statistics: Interval | None

    def plain(self) -> dict[str, object]:
        """The score in types that JSON has."""
        names = ("before", "after", "difference", "mel_statistics")
        found = {name: getattr(self, name) for name in names}
        rows = {name: plain(interval) for name, interval in found.items() if interval is not None}
        return {"probe": self.probe, "measure": self.measure, **rows}


def plain(interval: Interval) -> list[float | None]:
    """Value, low, high; None where there is no number, which JSON does not have."""
    numbers = (interval.value, interval.low, interval.high)
    return [float(number) if np.isfinite(number) else None for number in numbers]


def compare_on_labels(
    models: tuple[Path, Path],
    labels: Path,
    labels_dir: Path,
    *,
    target_length: int,
    channel: Channel,
    device: DeviceChoice,
    num_threads: int | None,
    console: Console,
) -> Comparison:
    """Probes and retrieval before and after, on labelled clips divided by recording.

    Raises:
        FileNotFoundError: The table or its folder is missing.
        ValueError: The labels do not fit the clips, or nothing can be judged by them.
    """
    clips = labelled_clips(labels, labels_dir, split=SplitConfig(validation_share=0), console=console)
    found: list[ClipFeatures] = []
    for path in models:
        encoder = load_encoder(path, pick_device(device))
        windows = clip_windows(encoder, clips.recordings, target_length=target_length, channel=channel)
        num_bytes = 2 * len(windows) * encoder.embedding_dim * target_length
        num_bytes = num_bytes * encoder.config.num_bands // encoder.config.patch_size
        keeps = num_bytes <= MOST_PATCH_BYTES
        found.append(
            _listened(
                encoder, windows, target_length, keeps, num_threads, f"listening with {path.name}", console
            )
        )
    indices = np.intersect1d(found[0].indices, found[1].indices)
    targets = clips.targets[indices].astype(np.float64)
    groups = [clips.groups[i] for i in indices]
    task = ProbeTask.of(targets, groups, multi_label=clips.table.multi_label)
    console.print("probing: nearest neighbours, linear, attentive, retrieval", highlight=False)
    before, after = (_probed(features, indices, task) for features in found)
    statistics = _mel_statistics(encoder, windows, num_threads)[indices]
    baseline = (nearest_probe(statistics, task), linear_probe(statistics, task), retrieval(statistics, task))
    judges = [i for i, result in enumerate(before) if result.probe in JUDGES]
    vectors = _vectors(found[0], indices), _vectors(found[1], indices)
    verdict = verdict_of(
        difference_of([before[i] for i in judges], [after[i] for i in judges]),
        evidence="labels",
        num_recordings=len(set(groups)),
        rank_before=effective_rank(vectors[0]),
        rank_after=effective_rank(vectors[1]),
    )
    vocabulary = clips.table.vocabulary
    names = tuple(", ".join(vocabulary[c] for c in np.flatnonzero(row)) for row in targets)
    return Comparison(
        verdict=verdict,
        before=before,
        after=after,
        baseline=baseline,
        vectors=vectors,
        recordings=tuple(clips.recordings[i] for i in indices),
        names=names,
    )


def compare_without_labels(
    models: tuple[Path, Path],
    held_out: Sequence[Recording],
    *,
    target_length: int,
    channel: Channel,
    device: DeviceChoice,
    num_threads: int | None,
    console: Console,
) -> Comparison:
    """Neighbour consistency before and after, on recordings that training did not hear."""
    found: list[ClipFeatures] = []
    length = min(SHORT_FRAMES, target_length)
    for path in models:
        encoder = load_encoder(path, pick_device(device))
        index, windows = _short_windows(encoder, held_out, length, channel)
        if not len(windows):
            raise ValueError("no held-out recording is long enough to judge by: raise --validation_share")
        found.append(
            _listened(encoder, windows, length, False, num_threads, f"listening with {path.name}", console)
        )
    indices = np.intersect1d(found[0].indices, found[1].indices)
    numbers = np.array([index.recording_of(int(i)) for i in indices])
    firsts = {number: int(indices[numbers == number][0]) for number in set(numbers.tolist())}
    positions = np.array([int(i) - firsts[n] for i, n in zip(indices, numbers.tolist(), strict=True)])
    groups = np.unique([group_of(index.recordings[n].relative_path) for n in numbers], return_inverse=True)[1]
    vectors = _vectors(found[0], indices), _vectors(found[1], indices)
    before, after = (_consistency(rows, numbers, positions, groups) for rows in vectors)
    assert before.per_clip is not None
    verdict = verdict_of(
        difference_of([before], [after]),
        evidence="neighbours",
        num_recordings=len(np.unique(groups[np.isfinite(before.per_clip)])),
        rank_before=effective_rank(vectors[0]),
        rank_after=effective_rank(vectors[1]),
    )
    recordings = tuple(index.recordings[n] for n in numbers)
    return Comparison(
        verdict=verdict,
        before=(before,),
        after=(after,),
        baseline=(),
        vectors=vectors,
        recordings=recordings,
        names=tuple(recording.path.stem for recording in recordings),
    )


def _probed(
    features: ClipFeatures, indices: Int[np.ndarray, " clips"], task: ProbeTask
) -> tuple[ProbeResult, ...]:
    vectors = _vectors(features, indices)
    results = [nearest_probe(vectors, task), linear_probe(vectors, task)]
    if features.patches is not None:
        rows = torch.from_numpy(np.searchsorted(features.indices, indices))
        results.append(attentive_probe(features.patches[rows], task, num_patches=features.num_patches[rows]))
    return (*results, retrieval(vectors, task))


def _vectors(features: ClipFeatures, indices: Int[np.ndarray, " clips"]) -> Float[np.ndarray, "clips dim"]:
    return features.pooled[POOLING][np.searchsorted(features.indices, indices)]


def _consistency(
    vectors: Float[np.ndarray, "windows dim"],
    numbers: Int[np.ndarray, " windows"],
    positions: Int[np.ndarray, " windows"],
    groups: Int[np.ndarray, " windows"],
) -> ProbeResult:
    """Neighbour consistency within each file; what is drawn anew are whole recordings, cut or not."""
    result = neighbour_consistency(vectors, numbers, positions)
    return ProbeResult(
        probe=result.probe,
        measure=result.measure,
        targets=result.targets,
        groups=groups,
        predictions=None,
        per_clip=result.per_clip,
    )


def _short_windows(
    encoder: AudioEncoder, recordings: Sequence[Recording], length: int, channel: Channel
) -> tuple[SegmentIndex, Windows]:
    """Touching windows of about a second, whole ones only; of many recordings, evenly chosen ones."""
    front_end = encoder.front_end.config
    window_s = front_end.num_samples(length) / front_end.sample_rate_hz
    config = SegmentConfig(window_s=window_s, edge="drop")
    total = len(SegmentIndex(recordings, config))
    step = -(-total // MOST_SHORT_WINDOWS) or 1
    index = SegmentIndex(recordings[::step], config)
    return index, SegmentWindows(index, sample_rate_hz=encoder.sample_rate_hz, channel=channel)


def _listened(
    encoder: AudioEncoder,
    windows: Windows,
    target_length: int,
    keeps_patches: bool,
    num_threads: int | None,
    what: str,
    console: Console,
) -> ClipFeatures:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=len(windows))
        return clip_features(
            encoder,
            windows,
            target_length=target_length,
            poolings=(POOLING,),
            keeps_patches=keeps_patches,
            num_threads=num_threads,
            on_batch=lambda done: progress.update(task, completed=done),
        )


def _mel_statistics(
    encoder: AudioEncoder, windows: Windows, num_threads: int | None
) -> Float[np.ndarray, "clips values"]:
    """Of every window that can be read, NaN for others; frames of padding are left out."""
    front_end = encoder.front_end
    statistics = np.full((len(windows), 4 * front_end.config.num_mels), np.nan)
    device = next(encoder.parameters()).device
    loader = EvaluationLoader(windows, DataConfig(batch_size=1, num_threads=num_threads), device=device)
    try:
        for batch in loader:
            log_mel = front_end(batch.waveforms[:, : int(batch.num_samples[0])])
            statistics[int(batch.draw_ids[0]) - EVALUATION_DRAWS] = mel_statistics(log_mel)[0].cpu().numpy()
    finally:
        loader.close()
    return statistics
