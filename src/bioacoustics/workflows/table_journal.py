"""Table journal: results go to parts beside the table, which is made of them once all is heard."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.writing import atomic_write
from bioacoustics.formats.tables import TableWriter, check_ending
from bioacoustics.training.run_folder import environment
from bioacoustics.workflows.journal import Chunk, Key, Mark, RunSettings, findings_text
from bioacoustics.workflows.parts import WINDOW, Parts
from bioacoustics.workflows.sources import Source, Sources, channel_name, digest_of
from bioacoustics.workflows.survey import Outcome
from bioacoustics.workflows.team import Team
from bioacoustics.workflows.traverse import all_takes

Columns = dict[str, Any]


@runtime_checkable  # so that the tests can check it
class Layout(Protocol):
    """How the rows of a table come from the windows of a take."""

    schema: pa.Schema

    def rows(self, source: Source, channel: Channel, windows: Iterator[pa.Table]) -> Iterator[Columns]:
        """Columns of the rows of one take, piece by piece."""
        ...


class TableJournal:
    """Commits to `.NAME.parts`; `NAME.run.json` says of a finished table what it was made of."""

    def __init__(
        self,
        output: Path,
        settings: RunSettings,
        sources: Sources,
        channel: Channel | Literal["each"],
        layout: Layout,
        *,
        beside: Mapping[Path, Layout] | None = None,
        overwrite: bool = False,
    ) -> None:
        check_ending(output)
        output.parent.mkdir(parents=True, exist_ok=True)
        self._output, self._settings, self._sources = output, settings, sources
        # The table itself comes last: where it is, all is.
        self._channel, self._layouts = channel, {**(beside or {}), output: layout}
        self._manifest = output.with_name(f"{output.name}.run.json")
        self._parts = Parts(output.with_name(f".{output.name}.parts"))
        self._begin(overwrite=overwrite)

    def _begin(self, *, overwrite: bool) -> None:
        """Go on with parts that fit; refuse to write over anything else unless that is wanted."""
        noted = self._parts.folder / "settings.json"
        self.is_finished = False
        if noted.exists():
            saved = json.loads(noted.read_text(encoding="utf-8"))
            if not (overwrite and self._settings.differences(saved)):
                return self._settings.check(saved, str(self._output))
        elif self._output.exists() and not overwrite:
            self._check_finished()
            self.is_finished = True
            return None
        elif self._output.exists() and self._manifest.exists():
            manifest = json.loads(self._manifest.read_text(encoding="utf-8"))
            is_same = not self._settings.differences(manifest["settings"])
            self.is_finished = is_same and manifest["recordings"] == digest_of(self._sources)
            if self.is_finished:
                return None
        self._parts.remove()
        self._parts = Parts(self._parts.folder)
        self._parts.folder.mkdir()
        with atomic_write(noted) as file:
            file.write(self._settings.model_dump_json(indent=1).encode())
        return None

    def _check_finished(self) -> None:
        if not self._manifest.exists():
            raise FileExistsError(
                f"{self._output} exists, and nothing says what it was made of: give another --output, "
                "or --overwrite to replace it"
            )
        manifest = json.loads(self._manifest.read_text(encoding="utf-8"))
        self._settings.check(manifest["settings"], str(self._output))
        if manifest["recordings"] != digest_of(self._sources):
            raise FileExistsError(
                f"{self._output} was made of other recordings ({manifest['num_recordings']} then, "
                f"{len(self._sources)} now): give another --output, --overwrite to replace it, "
                "or a folder NAME.lance as --output, which grows with your recordings"
            )

    def marks(self) -> dict[Key, Mark]:
        """What the parts hold; everything, if the table is finished."""
        if not self.is_finished:
            return self._parts.marks()
        noted = json.loads(self._manifest.read_text(encoding="utf-8"))["findings"]
        keys = [(self._sources[r], channel_name(c)) for r, c in all_takes(self._sources, self._channel)]
        return {
            (source.id, channel): Mark(
                is_done=True, findings=set(noted.get(source.recording.relative_path, ()))
            )
            for source, channel in keys
        }

    def commit(self, chunk: Chunk) -> None:
        """Write one part."""
        outputs = chunk.outputs
        columns = {
            "recording": [self._sources[output.take.recording].id for output in outputs],
            "channel": [channel_name(output.take.channel) for output in outputs],
            "start_s": [output.segment.start_s for output in outputs],
            "end_s": [min(o.segment.end_s, o.take.recording.duration_s) for o in outputs],
            "findings": findings_text(outputs),
            "values": [np.asarray(output.values, dtype=np.float32) for output in outputs],
        }
        endings = [
            ((self._sources[e.take.recording].id, channel_name(e.take.channel)), e) for e in chunk.endings
        ]
        self._parts.add(pa.Table.from_pydict(columns, schema=WINDOW), endings)

    def finish(self, outcome: Outcome) -> str:
        """Join the parts to the table, in the order of files, and take them away."""
        if self.is_finished:
            known = json.loads(self._manifest.read_text(encoding="utf-8"))
            outcome.recall(known["unusable"])
        else:
            if Team.here().size > 1:
                self._parts = Parts(self._parts.folder)  # with those of the other processes
            num_rows = self._join()
            known = {
                "settings": self._settings.model_dump(),
                "recordings": digest_of(self._sources),
                "num_recordings": len(self._sources),
                "num_rows": num_rows,
                "unusable": {file.relative_path: file.reason for file in outcome.unusable},
                "findings": {name: sorted(found) for name, found in outcome.files_with_findings.items()},
                "made": environment(),
            }
            with atomic_write(self._manifest) as file:
                file.write(json.dumps(known, indent=1, default=str).encode())
        outcome.write(self._output.with_name(f"{self._output.name}.problems.csv"))
        self._parts.remove()
        return f"{self._output}: {known['num_rows']}"

    def _join(self) -> int:
        num_rows = 0
        for path, layout in self._layouts.items():
            with TableWriter(path, layout.schema) as table:
                for recording, channel in all_takes(self._sources, self._channel):
                    source = self._sources[recording]
                    windows = self._parts.windows_of((source.id, channel_name(channel)))
                    for columns in layout.rows(source, channel, windows):
                        table.write(columns)
            num_rows = table.num_rows
        return num_rows
