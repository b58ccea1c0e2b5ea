"""Event matching: which annotated events a model found, and which of its events somebody annotated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import maximum_bipartite_matching

from bioacoustics.data.events import Event

OFFSET_SHARE = 0.2  # of an annotated event: the end of a long one is harder to tell (Mesaros et al. 2016)
OVERLAP_SHARE = 0.5  # of the shorter event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounts:
    """Annotated and predicted events of one label, and how many of each have a partner."""

    num_annotated: int = 0
    num_predicted: int = 0
    annotated_hits: int = 0
    predicted_hits: int = 0

    def __add__(self, other: "EventCounts") -> "EventCounts":
        return EventCounts(
            num_annotated=self.num_annotated + other.num_annotated,
            num_predicted=self.num_predicted + other.num_predicted,
            annotated_hits=self.annotated_hits + other.annotated_hits,
            predicted_hits=self.predicted_hits + other.predicted_hits,
        )

    @property
    def precision(self) -> float:
        """Share of the predicted events that have a partner; NaN where there are none."""
        return self.predicted_hits / self.num_predicted if self.num_predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the annotated events that have a partner; NaN where there are none."""
        return self.annotated_hits / self.num_annotated if self.num_annotated else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; NaN where nothing is annotated."""
        if not self.num_annotated:
            return float("nan")
        sides = self.precision if self.num_predicted else 0.0, self.recall
        return 2 * sides[0] * sides[1] / sum(sides) if sum(sides) else 0.0


def match_with_collars(
    annotated: Sequence[Event], predicted: Sequence[Event], collar_s: float
) -> EventCounts:
    """Pairs of one label in one recording that begin and end alike, each event in one pair at most.

    The beginnings may differ by `collar_s`, the ends by the larger of that and a fifth of the annotated
    event. As many pairs are made as there can be (a maximum matching).
    """
    pairs = 0
    for truth, found in _by_place(annotated, predicted):
        if not len(truth) or not len(found):
            continue
        lengths_s = truth[:, 1] - truth[:, 0]
        ends_s = np.maximum(collar_s, OFFSET_SHARE * lengths_s)
        fits: Bool[np.ndarray, "annotated predicted"] = (
            np.abs(truth[:, None, 0] - found[None, :, 0]) <= collar_s + 1e-9
        ) & (np.abs(truth[:, None, 1] - found[None, :, 1]) <= ends_s[:, None] + 1e-9)
        matched: Int[np.ndarray, " annotated"] = maximum_bipartite_matching(
            scipy.sparse.csr_matrix(fits), perm_type="column"
        )
        pairs += int((matched >= 0).sum())
    return EventCounts(
        num_annotated=len(annotated), num_predicted=len(predicted), annotated_hits=pairs, predicted_hits=pairs
    )


def match_by_overlap(annotated: Sequence[Event], predicted: Sequence[Event]) -> EventCounts:
    """Events that share half of the shorter one with any event of the same label in the same recording.

    One prediction may cover several annotated events, as a window of five seconds covers several syllables.
    """
    counts = EventCounts(num_annotated=len(annotated), num_predicted=len(predicted))
    for truth, found in _by_place(annotated, predicted):
        if not len(truth) or not len(found):
            continue
        shared_s = np.minimum(truth[:, None, 1], found[None, :, 1]) - np.maximum(
            truth[:, None, 0], found[None, :, 0]
        )
        shorter_s = np.minimum((truth[:, 1] - truth[:, 0])[:, None], (found[:, 1] - found[:, 0])[None])
        fits = (shared_s >= OVERLAP_SHARE * shorter_s - 1e-9) & (shared_s >= 0)
        hits = {"annotated_hits": int(fits.any(axis=1).sum()), "predicted_hits": int(fits.any(axis=0).sum())}
        counts += EventCounts(**hits)
    return counts


def _by_place(
    annotated: Sequence[Event], predicted: Sequence[Event]
) -> Iterable[tuple[Float[np.ndarray, "annotated 2"], Float[np.ndarray, "predicted 2"]]]:
    """Spans of the events of each recording."""
    spans: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {}
    for side, events in enumerate((annotated, predicted)):
        for event in events:
            both = spans.setdefault(event.recording, ([], []))
            both[side].append((event.start_s, event.end_s))
    return [
        (np.array(truth, dtype=float).reshape(-1, 2), np.array(found, dtype=float).reshape(-1, 2))
        for truth, found in spans.values()
    ]


def by_label(events: Iterable[Event], labels: Sequence[str]) -> Mapping[str, list[Event]]:
    """The events of each label; those of other labels are left out."""
    found: dict[str, list[Event]] = {label: [] for label in labels}
    for event in events:
        if event.label in found:
            found[event.label].append(event)
    return found
