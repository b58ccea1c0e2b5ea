"""Labels: what people say about windows, with who said it and when."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from bioacoustics.store.database import Store, quoted
from bioacoustics.store.schema import LABELS

_PLACE = ("id", "file", "channel", "start_s", "end_s")


def add_labels(
    store: Store,
    windows: Iterable[str],
    label: str,
    *,
    who: str,
    is_present: bool = True,
    at: datetime | None = None,
) -> int:
    """Say that `label` is heard, or not heard, in windows; what the same person said before is replaced.

    Returns:
        How many windows were labelled.

    Raises:
        ValueError: a window is not in the store, or the label or the name is empty.
    """
    ids = list(dict.fromkeys(windows))
    if not label.strip() or not who.strip():
        raise ValueError(f"a label needs a name and somebody who gives it, got {label!r} by {who!r}")
    if not ids:
        return 0
    places = store.rows("windows", _PLACE, f"id IN ({', '.join(map(quoted, ids))})").to_pylist()
    unknown = set(ids) - {place["id"] for place in places}
    if unknown:
        raise ValueError(f"{store.location}: there is no window {min(unknown)}")
    moment = at or datetime.now(UTC)
    rows = [
        {
            **place,
            "id": "/".join((place["id"], label, who)),
            "window": place["id"],
            "label": label,
            "is_present": is_present,
            "who": who,
            "at": moment,
        }
        for place in places
    ]
    store.upsert("labels", pa.Table.from_pylist(rows, LABELS))
    return len(rows)


def remove_labels(store: Store, ids: Sequence[str]) -> None:
    """Take labels back, by their ids."""
    if ids:
        store.delete("labels", f"id IN ({', '.join(map(quoted, ids))})")


def labels(store: Store) -> pa.Table:
    """All labels, the oldest first."""
    return store.rows("labels", LABELS.names).sort_by([("at", "ascending"), ("id", "ascending")])
