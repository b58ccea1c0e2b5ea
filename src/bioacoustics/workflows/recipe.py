"""Recipe: the settings of EAT's pre-training that depend on how much there is to learn from."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from bioacoustics.audio.recordings import Recording

RecipeName = Literal["auto", "published", "small"]

SMALL_HOURS = 100.0


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Defaults of the flags that depend on the amount of data; `published` has those of EAT base.

    Attributes:
        name: How the user calls it.
        target_length: Frames of a window.
        num_clones: Masked copies of a window in an update.
        learning_rate: Peak.
        ema_decay: Of the teacher, at the beginning.
        ema_end_decay: Of the teacher, after `ema_anneal_updates`.
        ema_anneal_updates: Updates between the two.
        utterance_weight: Of the clip loss.
        removes_position: Whether targets are freed of what they say of any clip; see `MaskedLatentConfig`.
    """

    name: Literal["published", "small"]
    target_length: int
    num_clones: int
    learning_rate: float
    ema_decay: float
    ema_end_decay: float
    ema_anneal_updates: int
    utterance_weight: float
    removes_position: bool

    def with_flags(self, flags: BaseModel) -> "Recipe":
        """This recipe with the values that the user gave by flags of the same name."""
        wanted = {name: getattr(flags, name, None) for name in Recipe.model_fields if name != "name"}
        given = {name: value for name, value in wanted.items() if value is not None}
        # A teacher that begins slower than the recipe's end stays as slow.
        end = max(given.get("ema_decay", self.ema_decay), self.ema_end_decay)
        return self.model_copy(update=given | {"ema_end_decay": end})


PUBLISHED = Recipe(
    name="published",
    target_length=1024,
    num_clones=16,
    learning_rate=5e-4,
    ema_decay=0.9998,
    ema_end_decay=0.99999,
    ema_anneal_updates=100_000,
    utterance_weight=192.0,
    removes_position=False,
)
# Measured in docs/benchmarks.md: many updates on short windows, a teacher that follows soon, and targets that
# say more than the place of a patch.
SMALL = Recipe(
    name="small",
    target_length=256,
    num_clones=4,
    learning_rate=1e-3,
    ema_decay=0.99,
    ema_end_decay=0.9995,
    ema_anneal_updates=2_000,
    utterance_weight=0.0,
    removes_position=True,
)


def recipe_of(name: RecipeName, recordings: Sequence[Recording], *, is_new: bool) -> Recipe:
    """The named recipe; `auto` is `small` for a new model on less than 100 hours, otherwise `published`.

    A model that has been trained before has outgrown what the small recipe is for.
    """
    if name == "auto":
        hours = sum(recording.duration_s for recording in recordings) / 3600
        name = "small" if is_new and hours < SMALL_HOURS else "published"
    return SMALL if name == "small" else PUBLISHED
