"""The card: on what the weights of a model were trained, what they began from, and under which licence."""

from typing import Literal

from pydantic import BaseModel, Field

Layout = Literal["fairseq", "huggingface", "beats"]

# A published file does not say its licence: what is known of its family, and where to ask.
_ASK = "the file does not say that of its weights: see where it was published"
PUBLISHED_LICENCES: dict[Layout, str] = {
    "fairseq": f"EAT's code: MIT; {_ASK}",
    "huggingface": f"EAT's code: MIT; {_ASK}",
    "beats": f"BEATs' code: MIT; weights of avex: CC-BY-NC-SA; {_ASK}",
}


class Schooling(BaseModel, frozen=True, extra="forbid"):
    """One training that the weights went through."""

    command: str  # such as finetune
    data: str  # name of the folder of recordings; not where it lay, which is nobody's business
    num_recordings: int | None = Field(default=None, ge=0)  # None where labels of a store taught it
    hours: float | None = Field(default=None, ge=0)

    def __str__(self) -> str:
        """In a few words."""
        if self.num_recordings is None or self.hours is None:
            return f"{self.command}: {self.data}"
        return f"{self.command}: {self.data} ({self.num_recordings} recordings, {self.hours:.2f} hours)"


class Parent(BaseModel, frozen=True, extra="forbid"):
    """A model that the weights began from, or learnt from."""

    name: str
    fingerprint: str
    licence: str = ""  # empty where it was never said


class Card(BaseModel, frozen=True, extra="forbid"):
    """What travels with the weights for those who want to use them or pass them on."""

    licence: str = ""  # of these weights, as whoever made them chose; see `convert --licence`
    parents: tuple[Parent, ...] = ()  # all of them, the first ones first
    schooling: tuple[Schooling, ...] = ()

    def child(self, schooling: Schooling, parent: Parent) -> "Card":
        """The card of a model that began from this one and learnt something."""
        return Card(parents=_once(*self.parents, parent), schooling=(*self.schooling, schooling))

    def beside(self, other: "Card") -> "Card":
        """The card of a model with two parents; what both went through is told once."""
        rest = [one for one in other.schooling if one not in self.schooling]
        last = self.schooling[-1:]
        schooling = (*self.schooling[:-1], *(one for one in rest if one not in last), *last)
        return Card(parents=_once(*self.parents, *other.parents), schooling=schooling)

    @property
    def terms(self) -> str:
        """The licence of these weights, and those of what they began from, which bind them, too."""
        own = self.licence or ("not stated by whoever trained it" if self.schooling else "not stated")
        inherited = [f"{one.name}: {one.licence}" for one in self.parents if one.licence]
        return "; ".join([own, *(f"began from {text}" for text in inherited)])


def _once(*parents: Parent) -> tuple[Parent, ...]:
    return tuple({parent.fingerprint: parent for parent in parents}.values())
