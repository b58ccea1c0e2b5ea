"""Bouts: one hit for each stretch of calling, and hits that differ from one another."""

from dataclasses import dataclass

import numpy as np

from bioacoustics.store.nearest import Hits

SIMILARITY_WEIGHT = 0.5  # of what is already chosen, against the score, when hits shall differ


@dataclass(frozen=True, slots=True)
class Bout:
    """The best hit of a bout and the stretch that its hits cover."""

    best: int  # position in the hits
    members: tuple[int, ...]  # the best among them
    start_s: float
    end_s: float


def grouped(hits: Hits, gap_s: float) -> list[Bout]:
    """Give each hit to the best one, in the same recording and channel, that it is at most `gap_s` away from.

    Bouts come best first. What is a bout's best depends on better hits only, so that more hits further down
    never change the bouts above them.
    """
    places = hits.rows.select(["recording", "channel", "start_s", "end_s"]).to_pylist()
    members: dict[int, list[int]] = {}
    bests_of: dict[tuple[str, str], list[int]] = {}
    for i, place in enumerate(places):
        bests = bests_of.setdefault((place["recording"], place["channel"]), [])
        near = [
            best
            for best in bests
            if place["start_s"] - places[best]["end_s"] <= gap_s
            and places[best]["start_s"] - place["end_s"] <= gap_s
        ]
        if near:
            members[near[0]].append(i)
        else:
            bests.append(i)
            members[i] = [i]
    return [
        Bout(
            best,
            tuple(group),
            min(places[i]["start_s"] for i in group),
            max(places[i]["end_s"] for i in group),
        )
        for best, group in members.items()
    ]


def diverse(hits: Hits, bouts: list[Bout], top: int) -> list[Bout]:
    """Choose bouts one by one: high score, but unlike those already chosen (maximal marginal relevance).

    Each time the bout with the largest score - 0.5 * (highest cosine to a chosen one) is taken.
    """
    if not bouts:
        return []
    bests = [bout.best for bout in bouts]
    scores, vectors = hits.scores[bests], hits.vectors[bests]
    likeness = np.full(len(bouts), -np.inf, dtype=np.float32)
    chosen = [0]  # the best hit has nothing to differ from
    while len(chosen) < min(top, len(bouts)):
        likeness = np.maximum(likeness, vectors @ vectors[chosen[-1]])
        gains = scores - SIMILARITY_WEIGHT * likeness
        gains[chosen] = -np.inf
        chosen.append(int(gains.argmax()))
    return [bouts[i] for i in chosen]
