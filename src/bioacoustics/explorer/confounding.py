"""Confounding: what components follow, and whether vectors tell the recorder better than the species."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bioacoustics.explorer.principal import PrincipalComponents
from bioacoustics.explorer.sentences import Sentence
from bioacoustics.explorer.steps import DONE, Progress, Step, silent

MAX_WINDOWS = 3000  # that a question is asked on, drawn by the seed
MAX_CLASSES = 30  # the commonest; more are not told apart but left out
MIN_OF_CLASS = 5  # windows; rarer classes cannot be asked about
NUM_FOLDS = 5
NUM_NEIGHBOURS = 10

Points = Float[np.ndarray, "windows components"]
Question = Literal["labels", "site", "recorder", "recording", "hour"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """How well something can be told from the vectors.

    Attributes:
        what: What was asked.
        accuracy: Balanced accuracy of the windows of held-out groups: the mean over classes of the share that
            is told right.
        chance: What guessing gives.
        num_classes: Between so many was to be chosen.
        num_windows: Of so many windows.
        held_out: What is never on both sides: recordings, or, where recordings themselves are asked for,
            stretches of time.
    """

    what: str
    accuracy: float
    chance: float
    num_classes: int
    num_windows: int
    held_out: Literal["recording", "stretch"]

    @property
    def skill(self) -> float:
        """0 for guessing, 1 for always right."""
        return (self.accuracy - self.chance) / (1 - self.chance)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the vectors tell, the best told first; `warnings` compare it with the labels."""

    answers: tuple[Told, ...]
    warnings: tuple[Sentence, ...]
    not_asked: tuple[str, ...]  # of these there are fewer than two classes that can be asked about


def component_table(components: PrincipalComponents) -> pd.DataFrame:
    """One row a component, from 1: its share of the variance, and that of all so far."""
    explained = components.explained
    return pd.DataFrame(
        {
            "component": np.arange(1, len(explained) + 1),
            "explained": explained,
            "cumulative": np.cumsum(explained),
        }
    )


def loadings(components: PrincipalComponents, component: int, num: int = 20) -> pd.DataFrame:
    """The dimensions of the vectors that weigh most in a component (from 1), the heaviest first."""
    direction = components.directions[component - 1]
    order = np.argsort(-np.abs(direction), kind="stable")[:num]
    return pd.DataFrame({"dimension": order, "loading": direction[order]})


def extremes(
    principal: Points, component: int, num: int = 6
) -> tuple[Int[np.ndarray, " low"], Int[np.ndarray, " high"]]:
    """The windows at the lower and the upper end of a component (from 1), the outermost first."""
    values = principal[:, component - 1]
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    return order[:num], order[::-1][:num]


def correlations(
    principal: Points,
    windows: pd.DataFrame,
    extra: Mapping[str, Float[np.ndarray, " windows"]] | None = None,
    *,
    num_components: int = 10,
) -> pd.DataFrame:
    """How strongly each component follows what is known of windows, from 0 to 1.

    For numbers (`extra`, such as loudness) the absolute rank correlation; for the hour, a circle, the
    multiple correlation with its sine and cosine; for site, recorder and recording the root of the share of
    the variance between them, corrected for their number (epsilon squared, Kelley 1935), so that many
    recordings do not explain anything by their number.

    Returns:
        Columns component (from 1), what, strength, num_windows.
    """
    rows = []
    for number in range(min(num_components, principal.shape[1])):
        values = principal[:, number].astype(np.float64)
        found: dict[str, tuple[float, int]] = {}
        for what, numbers in (extra or {}).items():
            found[what] = _rank_correlation(values, np.asarray(numbers, float))
        found["hour"] = _circular_correlation(values, windows["hour"].to_numpy(float))
        for what in ("site", "recorder", "recording"):
            if what in windows:
                found[what] = _between(values, windows[what].astype(str).to_numpy())
        rows += [(number + 1, what, strength, count) for what, (strength, count) in found.items()]
    return pd.DataFrame(rows, columns=["component", "what", "strength", "num_windows"])


def confounders(
    points: Points,
    windows: pd.DataFrame,
    labels: Sequence[str],
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Report:
    """Ask a k-nearest-neighbour vote for labels, site, recorder, recording and time of day.

    What is asked about is held out by recording; a recording itself by five stretches of it, of which the
    vote knows four. A map on which the site is told better than the label shows sites first.

    Args:
        points: Principal components of all windows.
        windows: With recording, site, hour, and recorder where it is known.
        labels: What is heard in each window; "" is not known.
        seed: Of the draw among many windows.
        on_progress: Is told how far it is.
    """
    report = on_progress or silent
    recordings = windows["recording"].astype(str).to_numpy()
    hours = windows["hour"].to_numpy(float)
    asked: dict[Question, np.ndarray] = {
        "labels": np.asarray(labels, dtype=str),
        "site": windows["site"].astype(str).to_numpy(),
        "recording": recordings,
        "hour": np.where(np.isfinite(hours), (np.nan_to_num(hours) // 6).astype(int).astype(str), ""),
    }
    if "recorder" in windows:
        asked["recorder"] = windows["recorder"].astype(str).to_numpy()
    answers, not_asked = [], []
    for done, (what, classes) in enumerate(asked.items()):
        report(done / len(asked), Step("asking", done + 1, len(asked)))
        told = _asked(points, what, classes, recordings, windows["start_s"].to_numpy(float), seed)
        if told is None:
            not_asked.append(what)
        else:
            answers.append(told)
    report(1.0, DONE)
    answers.sort(key=lambda told: -told.skill)
    return Report(answers=tuple(answers), warnings=_warnings(answers), not_asked=tuple(not_asked))


def _asked(
    points: Points, what: Question, classes: np.ndarray, recordings: np.ndarray, starts: np.ndarray, seed: int
) -> Told | None:
    by_stretch = what == "recording"
    chosen = _choice(points, classes, None if by_stretch else recordings, seed)
    if chosen is None:
        return None
    groups = _stretches(recordings[chosen], starts[chosen]) if by_stretch else _folds(recordings[chosen])
    names, numbers = np.unique(classes[chosen], return_inverse=True)
    right = _is_told(points[chosen], numbers, groups)
    judged = np.isfinite(right)
    shares = [
        right[judged & (numbers == i)].mean() for i in range(len(names)) if (judged & (numbers == i)).any()
    ]
    if len(shares) < 2:
        return None
    return Told(
        what=what,
        accuracy=float(np.mean(shares)),
        chance=1 / len(names),
        num_classes=len(names),
        num_windows=len(chosen),
        held_out="stretch" if by_stretch else "recording",
    )


def _choice(
    points: Points, classes: np.ndarray, groups: np.ndarray | None, seed: int
) -> Int[np.ndarray, " chosen"] | None:
    """Windows of classes that are common enough, and in two groups or more; None without two such."""
    usable = np.isfinite(points).all(axis=1) & (classes != "")
    names, counts = np.unique(classes[usable], return_counts=True)
    kept = []
    for name in names[np.argsort(-counts, kind="stable")]:
        inside = usable & (classes == name)
        in_groups = 2 if groups is None else len(np.unique(groups[inside]))
        if inside.sum() >= MIN_OF_CLASS and in_groups >= 2:
            kept.append(name)
        if len(kept) == MAX_CLASSES:
            break
    if len(kept) < 2:
        return None
    chosen = np.flatnonzero(usable & np.isin(classes, kept))
    if len(chosen) > MAX_WINDOWS:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MAX_WINDOWS, replace=False))
    return chosen


def _folds(recordings: np.ndarray) -> Int[np.ndarray, " windows"]:
    return np.asarray(np.unique(recordings, return_inverse=True)[1] % NUM_FOLDS)


def _stretches(recordings: np.ndarray, starts: np.ndarray) -> Int[np.ndarray, " windows"]:
    """Each recording in five stretches one after the other."""
    stretches = np.zeros(len(recordings), int)
    for name in np.unique(recordings):
        members = np.flatnonzero(recordings == name)
        members = members[np.argsort(starts[members], kind="stable")]
        stretches[members] = np.arange(len(members)) * NUM_FOLDS // len(members)
    return stretches


def _is_told(
    points: Points, numbers: Int[np.ndarray, " windows"], groups: Int[np.ndarray, " windows"]
) -> Float[np.ndarray, " windows"]:
    """1 where neighbours of other groups vote right, every class with one weight; NaN without votes."""
    from sklearn.neighbors import NearestNeighbors

    right = np.full(len(points), np.nan)
    num_classes = int(numbers.max()) + 1
    for group in np.unique(groups):
        known, asked = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        if not len(known):
            continue
        near = NearestNeighbors(n_neighbors=min(NUM_NEIGHBOURS, len(known))).fit(points[known])
        hosts = numbers[known][near.kneighbors(points[asked], return_distance=False)]
        votes = np.stack([(hosts == i).sum(axis=1) for i in range(num_classes)], axis=1).astype(float)
        votes /= np.maximum(np.bincount(numbers[known], minlength=num_classes), 1)
        right[asked] = votes.argmax(axis=1) == numbers[asked]
    return right


def _warnings(answers: Sequence[Told]) -> tuple[Sentence, ...]:
    known = {told.what: told for told in answers}
    species = known.get("labels")
    if species is None:
        return ()
    names = {"site": "el sitio", "recorder": "la grabadora", "recording": "la grabación", "hour": "la hora"}
    return tuple(
        Sentence(
            f"The {what} is told better than the label ({told.skill:.2f} against {species.skill:.2f}, 0 is "
            "guessing): groups on the map may be places or devices rather than animals.",
            f"Se reconoce mejor {names[what]} que la etiqueta ({told.skill:.2f} frente a "
            f"{species.skill:.2f}; 0 es adivinar): los grupos del mapa pueden ser lugares o aparatos, "
            "no animales.",
        )
        for what, told in known.items()
        if what != "labels" and told.skill > species.skill
    )


def _rank_correlation(values: np.ndarray, numbers: np.ndarray) -> tuple[float, int]:
    from scipy.stats import rankdata

    known = np.isfinite(values) & np.isfinite(numbers)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(numbers[known]) == 0:
        return float("nan"), int(known.sum())
    ranks = (rankdata(values[known]), rankdata(numbers[known]))
    return float(abs(np.corrcoef(*ranks)[0, 1])), int(known.sum())


def _circular_correlation(values: np.ndarray, hours: np.ndarray) -> tuple[float, int]:
    known = np.isfinite(values) & np.isfinite(hours)
    count = int(known.sum())
    if count < 4 or np.ptp(values[known]) == 0 or np.ptp(hours[known]) == 0:
        return float("nan"), count
    angles = hours[known] * (2 * np.pi / 24)
    inputs = np.column_stack([np.ones(count), np.sin(angles), np.cos(angles)])
    left = values[known] - inputs @ np.linalg.lstsq(inputs, values[known], rcond=None)[0]
    share = 1 - left.var() / values[known].var()
    return float(np.sqrt(max(share, 0.0))), count


def _between(values: np.ndarray, names: np.ndarray) -> tuple[float, int]:
    known = np.isfinite(values) & (names != "")
    numbers = np.unique(names[known], return_inverse=True)[1]
    count, num_groups = int(known.sum()), int(numbers.max(initial=-1)) + 1
    if num_groups < 2 or count <= num_groups or np.ptp(values[known]) == 0:
        return float("nan"), count
    sizes = np.bincount(numbers)
    means = np.bincount(numbers, weights=values[known]) / sizes
    inside = np.square(values[known] - means[numbers]).sum() / (count - num_groups)
    share = 1 - inside / values[known].var(ddof=1)
    return float(np.sqrt(max(share, 0.0))), count
