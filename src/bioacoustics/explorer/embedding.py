"""Embedding: a fair sample of the windows of some recordings, into a store that the page opens then."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from rich.console import Console

from bioacoustics.audio.reading import Reading, UnreadableAudioError, read_segment, stream_segments
from bioacoustics.audio.recordings import Recording, UnreadableFile
from bioacoustics.audio.segments import Segment, SegmentConfig, num_segments, segment_at
from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.explorer.sampling import fair_sample
from bioacoustics.inference.device import pick_device
from bioacoustics.inference.precision import pick_precision, prepare
from bioacoustics.inference.windows import Ending, Output, Take
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.saved import build_encoder, read_bundle
from bioacoustics.workflows.embed import EmbedConfig, EmbeddingRows
from bioacoustics.workflows.journal import Chunk, Journal, Mark, RunSettings
from bioacoustics.workflows.output import journal_of
from bioacoustics.workflows.sources import channel_name
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.traverse import Traversal, reading_settings

DEFAULT_WINDOW_S = 5.0
WINDOWS_PER_COMMIT = 256
Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


def embed_sample(config: OpeningConfig, console: Console) -> Outcome:
    """Embed so many windows as are asked for, drawn fairly over recordings and time; goes on after a kill.

    Raises:
        ValueError: the store holds results of another model or other settings, or nothing can be embedded.
    """
    assert config.data_dir is not None and config.checkpoint_path is not None
    location = config.location()
    location.parent.mkdir(parents=True, exist_ok=True)
    tell = _teller()
    tell("model", 0, 1)
    device = pick_device("auto")
    bundle = read_bundle(config.checkpoint_path)
    encoder = build_encoder(bundle).to(device)
    prepare(encoder, pick_precision("auto", device))
    tell("headers", 0, 1)
    run = EmbedConfig(
        data_dir=config.data_dir,
        model_path=config.checkpoint_path,
        output=str(location),
        window_s=config.window_s or DEFAULT_WINDOW_S,
        deployments=config.deployments,
    )
    traversal = Traversal(
        run,
        lambda batch: encoder.embed(batch.waveforms.to(device)),
        window_s=run.window_s or DEFAULT_WINDOW_S,
        sample_rate_hz=encoder.sample_rate_hz,
        min_samples=encoder.front_end.config.frame_length,
        precision="float32",
        console=console,
    )
    settings = RunSettings(
        command="embed",
        model=bundle.header.fingerprint,
        model_path=str(config.checkpoint_path.resolve()),
        front_end={
            **reading_settings(run, traversal.segments.window_s),
            "pooling": "auto",
            "precision": "float32",
            "max_samples": config.max_samples,
        },
    )
    rows = EmbeddingRows(settings, encoder.embedding_dim, is_csv=False)
    journal = journal_of(
        run.output, settings, traversal.sources, traversal.segments, "mix", rows,
        dim=encoder.embedding_dim, overwrite=False,
    )  # fmt: skip
    _hear(traversal, journal, encoder, chosen_windows(traversal, config.max_samples), tell)
    journal.finish(traversal.outcome)
    tell("done", 1, 1)
    return traversal.outcome


def _hear(
    traversal: Traversal,
    journal: Journal,
    encoder: AudioEncoder,
    chosen: dict[Recording, list[Segment]],
    tell: Progress,
) -> None:
    """Embed what the journal does not have, and commit it in the order of recordings."""
    marks = journal.marks()
    total = sum(len(segments) for segments in chosen.values())
    done, pending = 0, Chunk()
    for recording, segments in chosen.items():
        mark = marks.get((traversal.sources[recording].id, channel_name("mix")), Mark())
        left = segments_left(segments, mark)
        done += len(segments) - len(left)
        tell("embedding", done, total)
        if mark.is_done:
            continue
        take, problem = Take(recording), None
        try:
            for output in _outputs(encoder, take, left, traversal.sample_rate_hz):
                pending.outputs.append(output)
                done += 1
                tell("embedding", done, total)
        except UnreadableAudioError as error:
            problem = UnreadableFile(
                path=recording.path, relative_path=recording.relative_path, reason=error.reason
            )
            traversal.outcome.unusable.append(problem)
        pending.endings.append(Ending(take, len(pending.outputs), problem))
        if len(pending.outputs) >= WINDOWS_PER_COMMIT:
            journal.commit(pending)
            pending = Chunk()
    if pending.outputs or pending.endings:
        journal.commit(pending)


def chosen_windows(traversal: Traversal, max_samples: int | None) -> dict[Recording, list[Segment]]:
    """The windows of each recording that are embedded, in their order."""
    pairs = [
        (recording, number)
        for recording in traversal.sources
        for number in range(num_segments(recording, traversal.segments))
    ]
    segments = [segment_at(recording, traversal.segments, number) for recording, number in pairs]
    placements = {recording: source.placement for recording, source in traversal.sources.items()}
    sample = fair_sample(
        [recording.relative_path for recording, _ in pairs],
        np.array([segment.start_s for segment in segments]),
        max_samples,
        sites=[placements[recording].site for recording, _ in pairs],
    )
    found: dict[Recording, list[Segment]] = defaultdict(list)
    for at in np.sort(np.asarray(sample.positions)).tolist():
        found[pairs[at][0]].append(segments[at])
    return dict(found)


def segments_left(segments: list[Segment], mark: Mark) -> list[Segment]:
    """What an earlier run has not embedded."""
    if mark.is_done:
        return []
    last_s = -1.0 if mark.last_start_s is None else mark.last_start_s
    return [segment for segment in segments if segment.start_s > last_s + 1e-6]


def _outputs(
    encoder: AudioEncoder, take: Take, segments: list[Segment], sample_rate_hz: int
) -> Iterator[Output]:
    shortest = encoder.front_end.config.frame_length
    device = next(encoder.parameters()).device
    for segment, reading in _readings(take, segments, sample_rate_hz):
        if len(reading.samples) < shortest:
            continue
        with torch.inference_mode():
            waveforms = torch.from_numpy(reading.samples)[None].to(device)
            values = encoder.embed(waveforms)[0].float().cpu().numpy()
        yield Output(0, take, segment, reading.findings, values)


def _readings(take: Take, segments: list[Segment], sample_rate_hz: int) -> Iterator[tuple[Segment, Reading]]:
    """Only what is needed is decoded; of formats that seek badly everything, but once."""
    if take.recording.seeks_well or len(segments) < 2:
        for segment in segments:
            yield segment, read_segment(segment, sample_rate_hz, take.channel)
        return
    wanted = {segment.start_s for segment in segments}
    config = SegmentConfig(window_s=segments[0].duration_s, edge="pad")
    for segment, reading in stream_segments(take.recording, config, sample_rate_hz, take.channel):
        if segment.start_s in wanted:
            yield segment, reading


def _teller() -> Progress:
    """Lines of JSON for whoever started this process to know how far it is."""
    last = [""]

    def tell(stage: str, done: int, total: int) -> None:
        share = f"{stage} {100 * done // max(total, 1)}"
        if share != last[0]:
            last[0] = share
            print(
                json.dumps({"stage": stage, "done": done, "total": total, "process": os.getpid()}), flush=True
            )

    return tell
