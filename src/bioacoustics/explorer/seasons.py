"""Seasons: windows that come to a map which others made, of a second store or of later in the same one."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bioacoustics.explorer.collection import MAX_BYTES_IN_MEMORY, Collection, part_of
from bioacoustics.explorer.sampling import Sample
from bioacoustics.explorer.sentences import Sentence

_KINDS = (
    "recording",
    "file",
    "site",
    "channel",
    "time_source",
    "findings",
    "date",
    "path",
    "store",
    "season",
)
_FREE = {"max_samples"}  # settings of a run that leave each vector as it is


class UnlikeError(ValueError):
    """Two stores do not belong on one map; `sentence` says why in both languages."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence.en)
        self.sentence = sentence


@dataclass(frozen=True, eq=False, kw_only=True)
class Season:
    """Windows that a map is made of, and windows that are placed on it.

    Attributes:
        known: The map is made of these.
        new: These are placed on it, and none of them is among the known.
        num_shared: Windows of the other store that the first one has too; they are not new.
        everything: The known, then the new, as one collection. Its windows have the columns `season`, which
            says which they are, and `store`.
    """

    known: Collection
    new: Collection
    num_shared: int
    everything: Collection


def season_of(known: Collection, other: Collection, scratch: Path | None = None) -> Season:
    """A second store as a new season of the first.

    Raises:
        UnlikeError: Its vectors were made by another model, or of windows that were cut or read otherwise;
            or it has no window that the first one has not.
    """
    check_alike(known, other)
    is_new = ~other.windows["id"].isin(known.windows["id"]).to_numpy()
    if not is_new.any():
        raise UnlikeError(
            Sentence(
                f"{_name(other)} has no window that {_name(known)} does not have: there is nothing to place.",
                f"{_name(other)} no tiene ventanas que {_name(known)} no tenga: no hay nada que colocar.",
            )
        )
    new = part_of(other, np.flatnonzero(is_new)) if not is_new.all() else other
    names = (_name(known), _name(other))
    if names[0] == names[1]:
        names = (known.location, other.location)
    everything = _joined(known, new, names, scratch)
    return Season(known=known, new=new, num_shared=int((~is_new).sum()), everything=everything)


def season_since(collection: Collection, date: str, scratch: Path | None = None) -> Season:
    """The windows of one store from a date on as a new season of those before it.

    Windows whose date nobody knows are known.

    Raises:
        UnlikeError: There are none before it, or none from it on.
    """
    is_new = (collection.windows["date"].astype(str) >= date).to_numpy()
    if is_new.all() or not is_new.any():
        raise UnlikeError(
            Sentence(
                f"All windows are on one side of {date}: choose another date.",
                f"Todas las ventanas están a un lado del {date}: elija otra fecha.",
            )
        )
    known, new = (part_of(collection, np.flatnonzero(side)) for side in (~is_new, is_new))
    everything = _joined(known, new, (f"< {date}", f"≥ {date}"), scratch)
    return Season(known=known, new=new, num_shared=0, everything=everything)


def check_alike(known: Collection, other: Collection) -> None:
    """See to it that the vectors of two stores can be compared.

    Raises:
        UnlikeError: They cannot.
    """
    models = [str(collection.facts.get("model", "")) for collection in (known, other)]
    made_by = str(known.facts.get("model_path", "CHECKPOINT"))
    command = f"bioacoustics embed --model_path {made_by} --data_dir RECORDINGS --output {other.location}"
    if models[0] != models[1] or known.vectors.shape[1] != other.vectors.shape[1]:
        raise UnlikeError(
            Sentence(
                f"{_name(other)} was made by another model ({models[1][:8]}) than {_name(known)} "
                f"({models[0][:8]}): its windows have no place on this map. Embed its recordings with the "
                f"same model: {command}",
                f"{_name(other)} se hizo con otro modelo ({models[1][:8]}) que {_name(known)} "
                f"({models[0][:8]}): sus ventanas no tienen lugar en este mapa. Calcule los vectores con el "
                f"mismo modelo: {command}",
            )
        )
    settings: list[dict[str, Any]] = [dict(side.facts.get("front_end") or {}) for side in (known, other)]
    names = sorted(
        name
        for name in settings[0].keys() | settings[1].keys()
        if name not in _FREE and settings[0].get(name) != settings[1].get(name)
    )
    if names:
        told = ", ".join(f"{name}: {settings[0].get(name)} ≠ {settings[1].get(name)}" for name in names)
        raise UnlikeError(
            Sentence(
                f"The windows of {_name(other)} were cut or read otherwise than those of {_name(known)} "
                f"({told}): everything in them would look new. Embed its recordings with the same settings.",
                f"Las ventanas de {_name(other)} se cortaron o leyeron de otro modo que las de "
                f"{_name(known)} ({told}): todo en ellas parecería nuevo. "
                "Calcule los vectores con los mismos ajustes.",
            )
        )


def _joined(known: Collection, new: Collection, names: tuple[str, str], scratch: Path | None) -> Collection:
    """Both as one collection, the known first; row i of everything stays the same window."""
    parts = [
        side.windows.assign(season=name, store=side.location)
        for side, name in zip((known, new), names, strict=True)
    ]
    windows = pd.concat(parts, ignore_index=True)
    windows = windows.astype({name: "category" for name in _KINDS if name in windows})
    digest = hashlib.sha256("\n".join((known.fingerprint, new.fingerprint, *names)).encode()).hexdigest()[:16]
    num_windows = known.sample.num_windows + new.sample.num_windows
    rules = (known.sample.rule, new.sample.rule)
    return replace(
        known,
        windows=windows,
        vectors=_stacked(known, new, digest, scratch),
        scores=_stacked_scores(known, new),
        recorded=pd.concat([known.recorded, new.recorded]).loc[lambda rows: ~rows.index.duplicated()],
        more_locations=tuple(dict.fromkeys((*known.more_locations, new.location))),
        sample=Sample(
            positions=np.arange(len(windows)),
            num_windows=num_windows,
            rule=Sentence(" ".join(rule.en for rule in rules), " ".join(rule.es for rule in rules)),
        ),
        fingerprint=digest,
    )


def _stacked(
    known: Collection, new: Collection, fingerprint: str, scratch: Path | None
) -> Float[np.ndarray, "windows width"]:
    """The vectors of both; a memory map where they are too many for memory."""
    parts = (known.vectors, new.vectors)
    if scratch is None or sum(part.nbytes for part in parts) <= MAX_BYTES_IN_MEMORY:
        return np.concatenate([np.asarray(part) for part in parts])
    path = scratch / f"vectors-{fingerprint}.npy"
    if not path.exists():
        shape = (len(known) + len(new), known.vectors.shape[1])
        unready = path.with_suffix(".part")
        array = np.lib.format.open_memmap(unready, "w+", known.vectors.dtype, shape)
        array[: len(known)], array[len(known) :] = parts
        array.flush()
        del array
        unready.replace(path)
    stacked: Float[np.ndarray, "windows width"] = np.load(path, mmap_mode="r", allow_pickle=False)
    return stacked


def _stacked_scores(known: Collection, new: Collection) -> Float[np.ndarray, "windows classes"] | None:
    if known.scores is None:
        return None
    theirs = new.scores if new.score_labels == known.score_labels else None
    if theirs is None:
        theirs = np.full((len(new), known.scores.shape[1]), np.nan, np.float32)
    return np.concatenate([known.scores, theirs])


def _name(collection: Collection) -> str:
    return collection.location.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".lance")
