"""Verdict: whether an adapted model is kept, from what was measured before and after, and never from more."""

import math
from typing import Literal

from pydantic import BaseModel

from bioacoustics.formats.words import Language
from bioacoustics.training.probes import Interval

Decision = Literal["keep", "discard", "undecided"]
COLLAPSED_SHARE = 0.25  # of the effective rank before: with less left, the model says too little
FEWEST_GROUPS = 5  # recordings without which an interval means nothing
MOST_FACTOR = 50  # so many times the data are no advice

RULE: dict[Language, str] = {
    "en": "Keep: the 95 % interval of the difference lies above 0. Discard: it lies below 0, or the "
    "embeddings "
    "have collapsed (their effective rank fell below a quarter). Undecided: the interval holds 0, or fewer "
    f"than {FEWEST_GROUPS} recordings judge. The difference is, with labels, that of the mean of the three "
    "probes (nearest neighbours, linear, attentive); without labels, that of the neighbour consistency. The "
    "interval is drawn over recordings; another seed of the training is not in it.",
    "es": "Conservar: el intervalo del 95 % de la diferencia queda por encima de 0. Descartar: queda por "
    "debajo "
    "de 0, o los vectores colapsaron (su rango efectivo cayó a menos de un cuarto). Sin decidir: el "
    "intervalo "
    f"contiene el 0, o juzgan menos de {FEWEST_GROUPS} grabaciones. La diferencia es, con etiquetas, la "
    f"de la "
    "media de las tres pruebas (vecinos más cercanos, lineal, con atención); sin etiquetas, la de la "
    "coherencia de vecinos. El intervalo se sortea por grabaciones; no incluye otra semilla del "
    "entrenamiento.",
}


class Verdict(BaseModel, frozen=True, extra="forbid"):
    """What to do with the adapted model, and the numbers that say so.

    Attributes:
        decision: Keep, discard or undecided.
        evidence: What the difference was measured with.
        difference: Score after minus score before, as shares of 1, and its 95 % interval.
        num_recordings: Recordings that judged.
        rank_before: Effective rank of the embeddings before.
        rank_after: And after.
        more_recordings: How many recordings in all would decide if the difference stayed what it is; None
            where it is decided, or where no sensible number would.
    """

    decision: Decision
    evidence: Literal["labels", "neighbours"]
    difference: tuple[float, float, float]  # value, low, high
    num_recordings: int
    rank_before: float
    rank_after: float
    more_recordings: int | None

    @property
    def is_collapsed(self) -> bool:
        """Whether the embeddings lost so much of their variety that nothing else counts."""
        return self.rank_after < COLLAPSED_SHARE * self.rank_before

    def reason(self, language: Language) -> str:
        """The verdict as one plain sentence."""
        return _sentence(self, language)


def verdict_of(
    difference: Interval,
    *,
    evidence: Literal["labels", "neighbours"],
    num_recordings: int,
    rank_before: float,
    rank_after: float,
) -> Verdict:
    """Apply the rule; see `RULE`."""
    is_measured = num_recordings >= FEWEST_GROUPS and math.isfinite(difference.value)
    decision: Decision = "undecided"
    if rank_after < COLLAPSED_SHARE * rank_before or (is_measured and difference.high < 0):
        decision = "discard"
    elif is_measured and difference.low > 0:
        decision = "keep"
    return Verdict(
        decision=decision,
        evidence=evidence,
        difference=(difference.value, difference.low, difference.high),
        num_recordings=num_recordings,
        rank_before=rank_before,
        rank_after=rank_after,
        more_recordings=_enough(difference, num_recordings)
        if decision == "undecided" and is_measured
        else None,
    )


def points(share: float) -> str:
    """A difference of shares in points of a hundred, with its sign; a rounded nothing has a plus."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def _enough(difference: Interval, num_recordings: int) -> int | None:
    """An interval shrinks with the root of the number of recordings: how many would make it exclude 0."""
    side = difference.value - difference.low if difference.value > 0 else difference.high - difference.value
    if difference.value == 0 or not side > 0:
        return None
    factor = (side / difference.value) ** 2
    return math.ceil(1.1 * factor * num_recordings) if factor <= MOST_FACTOR else None


def _sentence(verdict: Verdict, language: Language) -> str:
    value, low, high = (points(number) for number in verdict.difference)
    names = {
        "labels": ("the probes", "las pruebas cambiaron"),
        "neighbours": ("neighbour consistency", "la coherencia de vecinos cambió"),
    }
    english, spanish = names[verdict.evidence]
    is_english = language == "en"
    n = verdict.num_recordings
    if verdict.is_collapsed:
        ranks = f"{verdict.rank_before:.1f} → {verdict.rank_after:.1f}"
        return (
            f"Discard: the embeddings have collapsed (effective rank {ranks})."
            if is_english
            else f"Descartar: los vectores colapsaron (rango efectivo {ranks})."
        )
    if not math.isfinite(verdict.difference[0]) or n < FEWEST_GROUPS:
        return (
            f"Undecided: only {n} recordings can judge, at least {FEWEST_GROUPS} are needed."
            if is_english
            else f"Sin decidir: solo {n} grabaciones pueden juzgar; se necesitan al menos {FEWEST_GROUPS}."
        )
    measured = (
        f"{english} changed by {value} points (95 % interval {low} to {high}, {n} recordings)"
        if is_english
        else f"{spanish} {value} puntos (intervalo del 95 %: {low} a {high}; {n} grabaciones)"
    )
    weak = ("; without labels this is weaker evidence", "; sin etiquetas, esta evidencia es más débil")
    measured += weak[0 if is_english else 1] if verdict.evidence == "neighbours" else ""
    if verdict.decision != "undecided":
        word = {"keep": ("Keep", "Conservar"), "discard": ("Discard", "Descartar")}[verdict.decision]
        return f"{word[0 if is_english else 1]}: {measured}."
    if verdict.more_recordings is None:
        more = (
            "; the difference is too small for more data to decide",
            "; la diferencia es demasiado pequeña",
        )
        return f"{'Undecided' if is_english else 'Sin decidir'}: {measured}{more[0 if is_english else 1]}."
    what = {
        "labels": ("labelled recordings", "grabaciones etiquetadas"),
        "neighbours": ("held-out recordings", "grabaciones apartadas"),
    }
    kind = what[verdict.evidence][0 if is_english else 1]
    number = verdict.more_recordings
    return (
        f"Undecided: {measured}; if it stays so, about {number} {kind} in all would decide."
        if is_english
        else f"Sin decidir: {measured}; si se mantiene, decidirían unas {number} {kind} en total."
    )
