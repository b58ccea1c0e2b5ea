"""A section of the settings of a published checkpoint, which says what is missing or cannot be followed."""

from collections.abc import Mapping
from typing import Any


class Section:
    """Part of a published configuration; says by name what is missing or cannot be followed."""

    def __init__(self, values: object, name: str) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(  # noqa: TRY004 -- it is the user's file that is wrong, not a caller
                f"the settings have no section {name}, which describes the model"
            )
        self._values = values
        self._name = name

    @classmethod
    def of(cls, values: object, *names: str) -> "Section":
        """The section that these names lead to, one inside the other."""
        section = cls(values, "cfg")
        for name in names:
            section = cls(section.get(name, None), f"{section._name}.{name}")
        return section

    def get(self, name: str, default: Any) -> Any:
        """A setting; the default also where it is None."""
        value = self._values.get(name)
        return default if value is None else value

    def require(self, name: str) -> Any:
        """A setting that must be there."""
        if self._values.get(name) is None:
            raise ValueError(f"the settings lack {self._name}.{name}, which the weights cannot tell")
        return self._values[name]

    def refuse_unless(self, **supported: object) -> None:
        """Raise where a setting would make the published model compute something else than ours."""
        for name, value in supported.items():
            if self.get(name, value) != value:
                raise ValueError(
                    f"{self._name}.{name} is {self._values[name]!r}; this EAT encoder supports only {value!r}"
                )
