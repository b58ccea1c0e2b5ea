"""Audit page: what an audit found, as one page in English or Spanish."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from bioacoustics.audio.sound_checks import Fault
from bioacoustics.data.deployments import Placement
from bioacoustics.data.timelines import Flag, is_dated
from bioacoustics.formats.page import Page, Step
from bioacoustics.formats.words import Language
from bioacoustics.workflows.audit_story import AuditStory
from bioacoustics.workflows.audit_words import MARKS, REASONS, TEXTS

NUM_PICTURES = 12
NUM_SITES = 60  # rows of the calendar
NUM_ROWS = 40  # of long tables; the CSV files have all
NUM_EXAMPLES = 3
ULTRASONIC_HZ = 150_000  # who records so fast listens for bats


def audit_page(story: AuditStory, language: Language) -> Page:
    """The whole report, from the numbers that matter to what to do next."""
    page = Page(
        _text("title", language).format(folder=story.folder.resolve().name or story.folder),
        lead=_text("lead", language),
        language=language,
    )
    page.facts(_facts(story, language))
    _add_marks(page, story, language)
    _add_calendar(page, story, language)
    _add_sites(page, story, language)
    _add_gaps(page, story, language)
    _add_day_sounds(page, story, language)
    _add_unusable(page, story, language)
    _add_kinds(page, story, language)
    _add_estimate(page, story, language)
    page.next_steps(_steps(story, language))
    return page


def _text(key: str, language: Language) -> str:
    return TEXTS[key][language]


def _columns(keys: str, language: Language) -> list[str]:
    return [_text(key, language) for key in keys.split()]


def _facts(story: AuditStory, language: Language) -> list[tuple[str, str]]:
    num_days = sum(int((effort.recorded_s.sum(axis=1) > 0).sum()) for effort in story.efforts.values())
    num_marked = sum(bool(_serious(story, name)) for name in story.flags)
    names = ("recordings", "hours", "size", "sites", "site_days", "doubtful", "unusable")
    values = (
        f"{len(story.placements)}",
        _hours(story.scan.duration_s),
        _size(story.num_bytes()),
        f"{len(story.sites)}",
        f"{num_days}",
        f"{num_marked}",
        f"{len(story.unusable)}",
    )
    return [(_text(name, language), value) for name, value in zip(names, values, strict=True)]


def _serious(story: AuditStory, name: str) -> list[Flag | Fault]:
    """The marks of a recording beyond what is ordinary: an unknown zone or a guessed time."""
    ordinary = {Flag.NO_ZONE, Flag.GUESSED_TIME}
    return [mark for mark in story.marks_of(name) if mark not in ordinary]


def _add_marks(page: Page, story: AuditStory, language: Language) -> None:
    page.heading(_text("attention", language))
    rows: list[list[str | int | float]] = []
    for mark, texts in MARKS.items():
        files = story.files_with(mark)
        if files:
            meaning, remedy = texts[language]
            examples = ", ".join(files[:NUM_EXAMPLES]) + (" …" if len(files) > NUM_EXAMPLES else "")
            rows.append([meaning, len(files), remedy, examples])
    for remark in story.remarks:
        page.paragraph(remark)
    if not rows:
        page.paragraph(_text("all_well", language))
        return
    page.paragraph(_text("attention_text", language).format(heard=len(story.checks)))
    page.table(_columns("what files remedy examples", language), rows)


def _add_calendar(page: Page, story: AuditStory, language: Language) -> None:
    # Late, because plotting takes seconds to load, which every command would wait for.
    from bioacoustics.formats.field_pictures import calendar

    page.heading(_text("calendar", language))
    if not story.efforts:
        page.paragraph(_text("no_dates", language))
        return
    page.paragraph(_text("calendar_text", language))
    sites = list(story.efforts)[:NUM_SITES]
    efforts = [story.efforts[site] for site in sites]
    first = min(effort.first_day for effort in efforts)
    last = max(effort.days[-1] for effort in efforts)
    recorded_h = np.zeros((len(sites), (last - first).days + 1))
    for row, effort in enumerate(efforts):
        start = (effort.first_day - first).days
        recorded_h[row, start : start + len(effort.days)] = effort.recorded_s.sum(axis=1) / 3600
    days = [first.fromordinal(first.toordinal() + i) for i in range(recorded_h.shape[1])]
    labels = [site or _text("no_site", language) for site in sites]
    png = calendar(days, labels, recorded_h, language=language)
    page.picture(png, description=_text("calendar", language))
    if len(story.efforts) > NUM_SITES:
        page.paragraph(_text("more_rows", language).format(number=len(story.efforts) - NUM_SITES))


def _add_sites(page: Page, story: AuditStory, language: Language) -> None:
    page.heading(_text("sites", language))
    page.paragraph(_text("sites_text", language))
    rows = [
        _site_row(story, site, members, language) for site, members in list(story.sites.items())[:NUM_SITES]
    ]
    names = "site files hours first last zone source level recorder battery temperature"
    page.table(_columns(names, language), rows)


def _site_row(
    story: AuditStory, site: str, members: Sequence[Placement], language: Language
) -> list[str | int | float]:
    dated = sorted(one.start.replace(tzinfo=None) for one in members if one.start and is_dated(one))
    zones = sorted({f"{one.start:%z}" if one.start.tzinfo else "?" for one in members if one.start})
    sources = Counter(_text(f"source_{one.source.value}", language) for one in members)
    names = [one.recording.relative_path for one in members]
    levels = [story.checks[name].level_db for name in names if name in story.checks]
    devices = sorted({one.origin.notes.device for one in members if one.origin.notes.device})
    batteries = [volt for one in members if (volt := one.origin.notes.battery_v) is not None]
    degrees = [degree for one in members if (degree := one.origin.notes.temperature_c) is not None]
    return [
        site or _text("no_site", language),
        len(members),
        _hours(sum(one.recording.duration_s for one in members)),
        _on_one_line(dated[0]) if dated else "–",
        _on_one_line(dated[-1]) if dated else "–",
        " ".join(zones) if dated else "–",
        ", ".join(sources),
        f"{np.median(levels):.0f}\N{NO-BREAK SPACE}dB" if levels else "–",
        ", ".join(devices[:NUM_EXAMPLES]) or "–",
        f"{min(batteries):.1f}–{max(batteries):.1f} V" if batteries else "–",
        f"{min(degrees):.0f} … {max(degrees):.0f} °C" if degrees else "–",
    ]


def _add_gaps(page: Page, story: AuditStory, language: Language) -> None:
    page.heading(_text("gaps", language))
    page.paragraph(_text("gaps_text" if story.gaps else "no_gaps", language))
    if not story.gaps:
        return
    largest = sorted(story.gaps, key=lambda gap: -gap.expected_s)[:NUM_ROWS]
    rows = [
        [
            gap.site or _text("no_site", language),
            _on_one_line(gap.start),
            _on_one_line(gap.end),
            f"{gap.expected_s / 3600:.3g}",
        ]
        for gap in largest
    ]
    page.table(_columns("site from to missing", language), rows)
    if len(story.gaps) > NUM_ROWS:
        page.paragraph(_text("more_rows", language).format(number=len(story.gaps) - NUM_ROWS))


def _add_day_sounds(page: Page, story: AuditStory, language: Language) -> None:
    from bioacoustics.formats.field_pictures import long_term_spectrograms

    by_effort = sorted(story.efforts, key=lambda site: (-len(story.sites[site]), site))
    sounds = [(site, sound) for site in by_effort[:NUM_PICTURES] if (sound := story.day_sound(site))]
    if not sounds:
        return
    page.heading(_text("day_sounds", language))
    page.paragraph(_text("day_sounds_text", language))
    titles = [f"{site or _text('no_site', language)} ({sound[2]})" for site, sound in sounds]
    png = long_term_spectrograms(
        [sound[0] for _, sound in sounds], [sound[1] for _, sound in sounds], titles, language=language
    )
    page.picture(png, description=f"{_text('day_sounds', language)}: {', '.join(titles)}")


def _add_unusable(page: Page, story: AuditStory, language: Language) -> None:
    unusable = story.unusable
    if not unusable:
        return
    page.heading(_text("unusable", language))
    rows = [[file.relative_path, _reason(file.reason, language)] for file in unusable[:NUM_ROWS]]
    page.table(_columns("file reason", language), rows)
    if len(unusable) > NUM_ROWS:
        page.paragraph(_text("more_rows", language).format(number=len(unusable) - NUM_ROWS))


def _add_kinds(page: Page, story: AuditStory, language: Language) -> None:
    page.heading(_text("kinds", language))
    counts: Counter[tuple[str, int, int]] = Counter()
    durations_s: dict[tuple[str, int, int], float] = {}
    for placement in story.placements:
        recording = placement.recording
        kind = (recording.container, recording.sample_rate_hz, recording.num_channels)
        counts[kind] += 1
        durations_s[kind] = durations_s.get(kind, 0.0) + recording.duration_s
    rows: list[list[str | int | float]] = [
        [*kind, number, _hours(durations_s[kind])] for kind, number in counts.most_common(NUM_ROWS)
    ]
    page.table(_columns("container rate channels files hours", language), rows)


def _add_estimate(page: Page, story: AuditStory, language: Language) -> None:
    page.heading(_text("estimate", language))
    estimate = story.estimate
    if estimate is None:
        page.paragraph(_text("no_estimate", language))
        return
    page.paragraph(_text("estimate_text", language).format(measured=estimate.measured_s))
    slower = "model" if estimate.model_share >= estimate.reading_share else "reading"
    names = ("time", "speed", "windows", "table_size", "device", "slower")
    values = (
        _duration(estimate.total_s),
        f"{estimate.speed:.0f} ×",
        f"{estimate.num_windows}",
        _size(estimate.table_bytes),
        estimate.device,
        _text(slower, language),
    )
    page.facts([(_text(name, language), value) for name, value in zip(names, values, strict=True)])


def _steps(story: AuditStory, language: Language) -> list[Step]:
    steps = []
    if any(Flag.NO_ZONE in flags or Flag.GUESSED_TIME in flags for flags in story.flags.values()):
        steps.append(
            Step(
                _text("next_deployments", language),
                f'bioacoustics audit "{story.folder}" --deployments deployments.csv',
            )
        )
    if story.unusable:
        steps.append(Step(_text("next_unusable", language)))
    command = (
        "bioacoustics embed --model_path ./checkpoints/pretrain/checkpoint_best.pt "
        f'--data_dir "{story.folder}" --output embeddings.parquet'
    )
    rates_hz = [placement.recording.sample_rate_hz for placement in story.placements]
    if rates_hz and np.median(rates_hz) >= ULTRASONIC_HZ:
        return [*steps, Step(_text("next_embed_slowed", language), f"{command} --time_expansion 10")]
    return [*steps, Step(_text("next_embed", language), command)]


def _hours(duration_s: float) -> str:
    """Short clips are not told as no time at all."""
    hours = duration_s / 3600
    return f"{hours:.2f}" if hours >= 0.1 or not hours else f"{hours:.2g}"


def _on_one_line(moment: datetime) -> str:
    """Date and time that a narrow column does not break."""
    text = f"{moment:%Y-%m-%d %H:%M}"
    return text.replace("-", "\N{NON-BREAKING HYPHEN}").replace(" ", "\N{NO-BREAK SPACE}")


def _reason(reason: str, language: Language) -> str:
    """The reason in the reader's language, where we know it; what decoders say stays as it is."""
    known = next((key for key in REASONS if reason.startswith(key)), None)
    return reason if language == "en" or known is None else REASONS[known] + reason[len(known) :]


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
