"""Output: where a run over recordings writes, a table or a store, as the name says."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from bioacoustics.audio.reading import Channel
from bioacoustics.audio.segments import SegmentConfig
from bioacoustics.formats.tables import SUFFIXES
from bioacoustics.workflows.journal import Journal, RunSettings
from bioacoustics.workflows.sources import Sources
from bioacoustics.workflows.store_journal import StoreJournal
from bioacoustics.workflows.table_journal import Layout, TableJournal
from bioacoustics.workflows.team import opened_in_turns

# A text, not a path: s3://bucket would lose one of its slashes.
Location = Annotated[str, BeforeValidator(os.fspath)]


def is_store(location: str) -> bool:
    """Whether `location` means a store: an address, a name in .lance, or a folder."""
    return "://" in location or not Path(location).suffix or Path(location).suffix == ".lance"


def check_output(location: str) -> None:
    """Refuse a name that is neither a table nor a store, before hours of work for it.

    Raises:
        ValueError: the ending is unknown.
    """
    if not is_store(location) and Path(location).suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{location}: tables are written as {' or '.join(SUFFIXES)}, a store as a folder .lance; "
            "choose one of these endings"
        )
    if "://" not in location:
        check_writable(Path(location), "--output")


def check_writable(path: Path, flag: str) -> None:
    """Refuse a place where nothing can be written, before hours of work for it.

    Raises:
        PermissionError: the folder, or the nearest one above it that exists, is closed to this user.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: nothing can be written here; choose another {flag}")


@opened_in_turns
def journal_of(
    location: str,
    settings: RunSettings,
    sources: Sources,
    segments: SegmentConfig,
    channel: Channel | Literal["each"],
    layout: Layout,
    *,
    dim: int,
    overwrite: bool,
    beside: Mapping[Path, Layout] | None = None,
) -> Journal:
    """Open the journal for what the user wants; `beside` are further tables of the same windows.

    Raises:
        ValueError: results of other settings are there.
        FileExistsError: something else is there.
    """
    if is_store(location):
        return StoreJournal(location, settings, sources, segments, dim=dim, overwrite=overwrite)
    return TableJournal(
        Path(location), settings, sources, channel, layout, beside=beside, overwrite=overwrite
    )
