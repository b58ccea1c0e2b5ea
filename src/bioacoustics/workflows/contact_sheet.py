"""The contact sheet: finds cut from their recordings, and one page to look at them and listen to them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from bioacoustics.audio.reading import Channel, Reading, read_segment
from bioacoustics.audio.recordings import Recording, UnreadableAudioError, UnreadableFile, read_header
from bioacoustics.audio.segments import Segment
from bioacoustics.formats.page import Page
from bioacoustics.formats.players import mp3_of
from bioacoustics.formats.words import Language
from bioacoustics.store.database import Store
from bioacoustics.workflows.journal import RunSettings

MODEL_RATE_HZ = 16_000  # the band that is shown is the one that models hear
_TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Sounds like {}", "es": "Suena como {}"},
    "lead": {
        "en": "{} finds, best first; each stands for a bout of calling.",
        "es": "{} hallazgos, el mejor primero; cada uno representa una tanda de canto.",
    },
    "finds": {"en": "Finds", "es": "Hallazgos"},
    "slowed": {"en": "slowed {:g} times", "es": "{:g} veces más lento"},
    "windows": {"en": "{} windows of this bout", "es": "{} ventanas de esta tanda"},
    "missing": {"en": "the recording is not there any more", "es": "la grabación ya no está"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """A row of the table of finds."""

    rank: int
    score: float
    file: str
    channel: str
    site: str
    start_time: str
    start_s: float
    end_s: float
    bout_start_s: float
    bout_end_s: float
    bout_windows: int
    findings: str
    window: str


class ContactSheet:
    """Opens the recordings of finds, where they lie now; `missing` has those that cannot be opened."""

    def __init__(
        self, store: Store, data_dir: Path | None, settings: RunSettings, language: Language
    ) -> None:
        rows = store.rows("recordings", ["file", "id", "path"]).to_pylist()
        self._path_of = {row["id"]: data_dir / row["file"] if data_dir else Path(row["path"]) for row in rows}
        self.missing: dict[str, UnreadableFile] = {}
        self._expansion = float(str(settings.front_end["time_expansion"]))
        self._language = language
        self._header = lru_cache(maxsize=None)(self._read_header)

    def recording_of(self, find: Find) -> Recording | None:
        """The recording of a find, or None if it cannot be opened."""
        return self._header(find.window.split("-")[0], find.file)

    def _read_header(self, recording: str, file: str) -> Recording | None:
        path = self._path_of[recording]
        root = path
        for _ in Path(file).parts:
            root = root.parent
        try:
            return read_header(path, root)
        except UnreadableAudioError as error:
            reason = f"{error.reason}; if it was moved, say where with --data_dir"
            self.missing[recording] = UnreadableFile(path=path, relative_path=file, reason=reason)
            return None

    def write(self, folder: Path, finds: list[Find], *, title: str) -> Path:
        """Write a clip for each find, at its native rate, and index.html, which holds all it needs."""
        folder.mkdir(parents=True, exist_ok=True)
        page = Page(
            self._say("title").format(title),
            lead=self._say("lead").format(len(finds)),
            language=self._language,
        )
        page.heading(self._say("finds"))
        for find in finds:
            self._add(page, folder, find)
        page.write(folder / "index.html")
        return folder / "index.html"

    def _add(self, page: Page, folder: Path, find: Find) -> None:
        title = f"{find.rank}. {find.score:.3f} · {Path(find.file).name} · {find.start_s:.2f} s"
        about = [find.start_time, find.site, find.findings, self._say("windows").format(find.bout_windows)]
        if self._expansion != 1:
            about.append(self._say("slowed").format(self._expansion))
        recording = self.recording_of(find)
        if recording is None:
            page.sound(title, " · ".join(filter(None, [*about, self._say("missing")])))
            return
        segment = Segment(recording, find.start_s, find.end_s - find.start_s)
        channel: Channel = int(find.channel) if find.channel.isdigit() else find.channel  # type: ignore[assignment]
        native = read_segment(segment, recording.sample_rate_hz, channel)
        # Ultrasound is played as slowly as the model heard it.
        played_hz = round(recording.sample_rate_hz / self._expansion)
        name = f"{find.rank:03d} {find.file.replace('/', ' ')} {find.start_s:.2f} s.wav"
        soundfile.write(folder / name, np.clip(native.samples, -1, 1), played_hz, subtype="PCM_16")
        heard = read_segment(
            segment, min(round(MODEL_RATE_HZ * self._expansion), recording.sample_rate_hz), channel
        )
        page.sound(
            title,
            " · ".join(filter(None, about)),
            png=self._picture(heard, segment, recording),
            mp3=mp3_of(native.samples, played_hz),
        )

    def _picture(self, heard: Reading, segment: Segment, recording: Recording) -> bytes:
        from bioacoustics.formats.spectrogram import spectrogram_picture  # plotting takes long to load

        rate_hz = min(round(MODEL_RATE_HZ * self._expansion), recording.sample_rate_hz)
        return spectrogram_picture(heard.samples, rate_hz, begin_s=segment.start_s, language=self._language)

    def _say(self, key: str) -> str:
        return _TEXTS[key][self._language]
