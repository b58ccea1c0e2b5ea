"""Thresholds: from which score on a classifier is believed, class by class, and what that was found on."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field, field_validator, model_validator

DEFAULT_THRESHOLD = 0.5  # of every class for which a bundle has none


class ClassThreshold(BaseModel, frozen=True, extra="forbid"):
    """The lowest score from which on the named share of one class's windows was right."""

    threshold: float = Field(gt=0, le=1)
    precision: float = Field(ge=0, le=1)  # on the annotated windows, at and above the threshold
    precision_low: float = Field(ge=0, le=1)  # 95 % interval of the precision
    precision_high: float = Field(ge=0, le=1)
    recall: float = Field(ge=0, le=1)
    num_present: int = Field(ge=1)  # annotated windows with the class

    @model_validator(mode="after")
    def _check_interval(self) -> "ClassThreshold":
        if self.precision_low > self.precision_high:
            raise ValueError(
                f"the interval of the precision goes from {self.precision_low:g} down to "
                f"{self.precision_high:g}"
            )
        return self


class Thresholds(BaseModel, frozen=True, extra="forbid"):
    """Thresholds of a bundle; a class that never was precise enough, or never present, has none."""

    precision_wanted: float = Field(gt=0, lt=1)
    window_s: float = Field(gt=0)  # of the windows that were judged: longer or shorter ones score otherwise
    num_recordings: int = Field(ge=1)
    classes: dict[str, ClassThreshold] = Field(min_length=1)

    @field_validator("classes")
    @classmethod
    def _sort(cls, classes: Mapping[str, ClassThreshold]) -> dict[str, ClassThreshold]:
        return dict(sorted(classes.items()))

    def of(self, labels: Sequence[str]) -> list[float]:
        """The threshold of each label, `DEFAULT_THRESHOLD` where there is none."""
        return [
            self.classes[label].threshold if label in self.classes else DEFAULT_THRESHOLD for label in labels
        ]
