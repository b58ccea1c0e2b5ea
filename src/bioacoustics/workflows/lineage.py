"""Lineage: what a training adds to the card of the model that it begins from."""

from collections.abc import Iterable
from pathlib import Path

from bioacoustics.audio.recordings import Recording
from bioacoustics.models.bundle import Header
from bioacoustics.models.card import Card, Parent, Schooling
from bioacoustics.models.saved import read_bundle


def card_of(
    command: str,
    data_dirs: Iterable[Path | None],
    recordings: Iterable[Recording],
    *begins_from: Path | None,
) -> Card:
    """The card of what a command trains.

    Args:
        command: Its name.
        data_dirs: Where the recordings lie; None for what was not given.
        recordings: Those that it learns from, without those held out; one that was cut into several
            clips of a table counts once.
        begins_from: The models that it begins or learns from; None for what was not given.
    """
    once = {recording.path: recording for recording in recordings}.values()
    schooling = Schooling(
        command=command,
        data=", ".join(folder.resolve().name for folder in data_dirs if folder is not None),
        num_recordings=len(once),
        hours=round(sum(recording.duration_s for recording in once) / 3600, 4),
    )
    cards = [
        child_of(read_bundle(path).header, path.resolve().name, schooling)
        for path in begins_from
        if path is not None
    ]
    card = cards[0] if cards else Card(schooling=(schooling,))
    for other in cards[1:]:
        card = card.beside(other)
    return card


def child_of(header: Header, name: str, schooling: Schooling) -> Card:
    """The card of what began from a model of this name, and learnt something."""
    known = header.known_card
    parent = Parent(name=name, fingerprint=header.fingerprint, licence=known.licence)
    return known.child(schooling, parent)
