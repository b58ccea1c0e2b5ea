"""Store journal: results are committed to the tables of a store, where others can already read them."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.segments import SegmentConfig, index_of
from bioacoustics.inference.patch_scores import PatchGrid, unpack
from bioacoustics.inference.windows import Output
from bioacoustics.store.database import Store, quoted
from bioacoustics.store.schema import PATCH_SCORES, PROGRESS, RECORDINGS, SCORES, windows_schema
from bioacoustics.workflows.journal import Chunk, Key, Mark, RunSettings, findings_text
from bioacoustics.workflows.sources import Source, Sources, channel_name
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.team import Team

COMMITS_PER_COMPACTION = 64


class StoreJournal:
    """Commits windows or scores, then notes which recordings are done."""

    def __init__(
        self,
        location: str,
        settings: RunSettings,
        sources: Sources,
        segments: SegmentConfig,
        *,
        dim: int,
        overwrite: bool = False,
    ) -> None:
        self.store = Store.create(location)
        self._settings, self._sources, self._segments, self._dim = settings, sources, segments, dim
        self._table = "windows" if settings.command == "embed" else "scores"
        # A store has the embeddings of one model, and the scores of any number of classifiers.
        self._run = "embed" if settings.command == "embed" else f"predict {settings.model_id}"
        self._num_commits = 0
        self._begin(overwrite=overwrite)

    def _begin(self, *, overwrite: bool) -> None:
        saved = self.store.fact(self._run)
        if saved is not None and overwrite and self._settings.differences(saved):
            self.store.delete("progress", f"run = {quoted(self._run)}")
            if self._table == "windows":
                self.store.drop("windows")
            else:
                for name in ("scores", "patch_scores"):
                    self.store.delete(name, f"model = {quoted(self._settings.model_id)}")
        elif saved is not None:
            self._settings.check(saved, self.store.location)
        if self._table == "windows":
            self.store.make_windows(self._dim)
        self.store.state(self._run, self._settings.model_dump(mode="json"))
        self._forget_replaced()

    def _forget_replaced(self) -> None:
        """A file whose content changed is another recording: what was heard in the old one goes."""
        now = {str(source.recording.path.resolve()): source.id for source in self._sources.values()}
        rows = self.store.rows("recordings", ["id", "path"]).to_pylist()
        stale = [row["id"] for row in rows if now.get(row["path"], row["id"]) != row["id"]]
        for name in (
            {"windows", "scores", "patch_scores", "progress"} & set(self.store.names()) if stale else ()
        ):
            self.store.delete(name, f"recording IN ({', '.join(map(quoted, stale))})")
        if stale:
            self.store.delete("recordings", f"id IN ({', '.join(map(quoted, stale))})")

    def marks(self) -> dict[Key, Mark]:
        """What the store has of this run."""
        marks: dict[Key, Mark] = {}
        mine = f"model = {quoted(self._settings.model_id)}"
        done = self.store.rows("progress", PROGRESS.names, f"run = {quoted(self._run)}").to_pylist()
        for row in done:
            is_done, findings = row["status"] == "done", set(row["findings"].split())
            marks[row["recording"], row["channel"]] = Mark(is_done=is_done, findings=findings)
        columns = ["recording", "channel", "start_s", "findings"]
        for batch in self.store.batches(self._table, columns, mine):
            for row in batch.to_pylist():
                mark = marks.setdefault((row["recording"], row["channel"]), Mark())
                if not mark.is_done:
                    mark.last_start_s = max(mark.last_start_s or 0.0, row["start_s"])
                    mark.findings.update(row["findings"].split())
        self._heard = {key: set(mark.findings) for key, mark in marks.items()}
        return marks

    def commit(self, chunk: Chunk) -> None:
        """Windows first: a kill in between leaves a recording whose windows are there and found again."""
        fresh = {output.take.recording for output in chunk.outputs} | {
            e.take.recording for e in chunk.endings
        }
        self.store.upsert("recordings", self._recording_rows([self._sources[r] for r in fresh]))
        key: str | list[str] = "id" if self._table == "windows" else ["id", "model"]
        # Patches before their scores: whoever goes on after a kill only looks at the scores.
        if self._settings.grid is not None:
            self.store.upsert("patch_scores", self._patch_rows(chunk.outputs, self._settings.grid), key)
        self.store.upsert(self._table, self._window_rows(chunk.outputs), key)
        for output in chunk.outputs:
            heard = self._heard.setdefault(self._key(output.take.recording, output.take.channel), set())
            heard.update(finding.value for finding in output.findings)
        self.store.upsert("progress", self._progress_rows(chunk))
        self._num_commits += 1
        if self._num_commits % COMMITS_PER_COMPACTION == 0 and Team.here().is_first:
            self.store.compact()

    def finish(self, outcome: Outcome) -> str:
        """Compact the store and say how much it holds."""
        self.store.compact()
        return f"{self.store.location}: {self.store.count(self._table, self._mine())}"

    def _mine(self) -> str:
        return f"model = {quoted(self._settings.model_id)}"

    def _key(self, recording: Any, channel: Channel) -> Key:
        return self._sources[recording].id, channel_name(channel)

    def _window_rows(self, outputs: Sequence[Output]) -> pa.Table:
        rows = []
        for output, findings in zip(outputs, findings_text(outputs), strict=True):
            source = self._sources[output.take.recording]
            rows.append(
                {
                    **self._identity(output),
                    "findings": findings,
                    **place_columns(source, output.segment.start_s, output.segment.end_s),
                    "front_end": self._settings.front_end_id,
                }
            )
        if self._table == "windows":
            schema = windows_schema(self._dim)
            vectors = [np.asarray(output.values, np.float32).astype(np.float16) for output in outputs]
            rows = [{**row, "vector": vector} for row, vector in zip(rows, vectors, strict=True)]
        else:
            schema = SCORES
            rows = [{**row, **self._answer(o.values)} for row, o in zip(rows, outputs, strict=True)]
        return pa.Table.from_pylist(rows, schema)

    def _identity(self, output: Output) -> dict[str, Any]:
        """Which window a row is about, and which model heard it."""
        source, channel = self._sources[output.take.recording], channel_name(output.take.channel)
        number = index_of(output.segment, self._segments)
        return {
            "id": f"{source.id}-{channel}-{number:06d}",
            "recording": source.id,
            "channel": channel,
            "start_s": output.segment.start_s,
            "model": self._settings.model_id,
        }

    def _patch_rows(self, outputs: Sequence[Output], grid: PatchGrid) -> pa.Table:
        """The patches of the windows in which some label stands out."""
        rows = []
        for output in outputs:
            duration_s = min(output.segment.end_s, output.take.recording.duration_s) - output.segment.start_s
            kept, patches = unpack(output.values, len(self._settings.labels), grid, duration_s)
            if patches.size:
                rows.append({**self._identity(output), "kept": kept, "patches": patches})
        return pa.Table.from_pylist(rows, PATCH_SCORES)

    def _answer(self, values: np.ndarray) -> dict[str, object]:
        scores = values[: len(self._settings.labels)]
        best = int(scores.argmax())
        return {
            "predicted": self._settings.labels[best],
            "probability": float(scores[best]),
            "scores": scores,
        }

    def _progress_rows(self, chunk: Chunk) -> pa.Table:
        rows = []
        for ending in chunk.endings:
            recording, channel = self._key(ending.take.recording, ending.take.channel)
            rows.append(
                {
                    "id": f"{recording}-{channel}-{self._run}",
                    "recording": recording,
                    "file": ending.take.recording.relative_path,
                    "channel": channel,
                    "run": self._run,
                    "status": "unusable" if ending.problem else "done",
                    "reason": ending.problem.reason if ending.problem else "",
                    "findings": " ".join(sorted(self._heard.get((recording, channel), ()))),
                }
            )
        return pa.Table.from_pylist(rows, PROGRESS)

    def _recording_rows(self, sources: Sequence[Source]) -> pa.Table:
        rows = [
            {
                "id": source.id,
                "file": source.recording.relative_path,
                "path": str(source.recording.path.resolve()),
                "site": source.placement.site,
                "start_time": source.placement.iso_time(0.0),
                "duration_s": source.recording.duration_s,
                "sample_rate_hz": source.recording.sample_rate_hz,
                "num_channels": source.recording.num_channels,
                "audio": source.audio,
            }
            for source in sources
        ]
        return pa.Table.from_pylist(rows, RECORDINGS)


def place_columns(source: Source, start_s: float, end_s: float) -> dict[str, Any]:
    """Where and when a window lies: what tables and stores say alike."""
    moment = source.placement.when(start_s)
    has_zone = moment is not None and moment.tzinfo is not None
    # The time of a file that was copied is no time to search by.
    clock = None if source.placement.origin.is_guess else moment
    return {
        "file": source.recording.relative_path,
        "site": source.placement.site,
        "start_s": start_s,
        "end_s": min(end_s, source.recording.duration_s),
        "start_time": source.placement.iso_time(start_s),
        "time_source": source.placement.source.value,
        "start_utc": moment.astimezone(UTC) if moment and has_zone else None,
        "second_of_day": clock.hour * 3600 + clock.minute * 60 + clock.second if clock else None,
        "audio": source.audio,
    }
