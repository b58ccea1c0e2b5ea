"""Opening: what the explorer shall open, as flags say it."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

DEFAULT_PORT = 8501
CACHE_VARIABLE = "BIOACOUSTICS_CACHE"


class OpeningConfig(BaseModel, frozen=True, extra="forbid"):
    """What `explore` needs to know."""

    store: Path | None = Field(
        default=None,
        description="store that `embed` made (a folder .lance); with --data_dir and --checkpoint_path: where "
        "to keep what is embedded now [default: a folder in the cache]",
        json_schema_extra={"positional": True},
    )
    data_dir: Path | None = Field(
        default=None, description="the recordings; beside a store: where they lie now, if they were moved"
    )
    checkpoint_path: Path | None = Field(
        default=None, description="any encoder; windows of --data_dir are embedded with it first"
    )
    max_samples: int | None = Field(
        default=None,
        ge=1,
        description="so many windows at most, drawn fairly over recordings and time [default: all of them]",
    )
    window_s: float | None = Field(
        default=None,
        gt=0,
        description="true seconds of a window, where windows are embedded first [default: 5]",
    )
    compare: Path | None = Field(
        default=None, description="a second store of the same recordings, made by another model"
    )
    season: Path | None = Field(
        default=None,
        description="a second store by the same model, whose windows are placed on the map of the first",
    )
    deployments: Path | None = Field(
        default=None, description="table of sites with latitude, longitude and time zone, for sun and place"
    )
    language: Literal["en", "es"] | None = Field(
        default=None, description="of the page [default: as the browser asks]"
    )
    port: int = Field(
        default=DEFAULT_PORT, ge=1, le=65535, description="of the page; the next free one is taken"
    )
    browser: bool = Field(default=True, description="open the page in the browser")
    embed_only: bool = Field(
        default=False,
        description="embed --data_dir into the store and open no page; progress as lines of JSON",
    )

    @model_validator(mode="after")
    def _check_something_to_open(self) -> "OpeningConfig":
        if self.store is None and self.data_dir is None:
            raise ValueError(
                "nothing to open: give a store that `bioacoustics embed --output season.lance` made, or "
                "--data_dir with recordings and --checkpoint_path with a model"
            )
        if self.checkpoint_path is not None and self.data_dir is None:
            raise ValueError("--checkpoint_path needs --data_dir: the recordings that it shall embed")
        if self.store is None and self.checkpoint_path is None:
            raise ValueError(
                "--data_dir alone does not say how to place its sounds on a map: give --checkpoint_path, any "
                "pre-trained or fine-tuned model"
            )
        return self

    @property
    def embeds_first(self) -> bool:
        """Whether recordings must be embedded before there is anything to see."""
        return self.checkpoint_path is not None

    def location(self) -> Path:
        """The store that is opened, whether it exists already or not."""
        if self.store is not None:
            return self.store
        # Names and dates stand for the contents here; the run's own settings and fingerprints guard the rest.
        assert self.data_dir is not None and self.checkpoint_path is not None
        named = (self.data_dir.resolve(), self.checkpoint_path.resolve(), self.window_s, self.max_samples)
        size = self.checkpoint_path.stat().st_size if self.checkpoint_path.is_file() else 0
        digest = hashlib.sha256(repr((*map(str, named), size)).encode()).hexdigest()[:16]
        return cache_folder() / "explorer" / f"{digest}.lance"

    def words(self) -> list[str]:
        """The flags that give this config again."""
        words: list[str] = []
        for name, value in self.model_dump(exclude_defaults=True).items():
            words += _flag(name, value)
        return words


def _flag(name: str, value: Any) -> list[str]:
    if name == "store":
        return [str(value)]
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no_{name}"]
    return [f"--{name}", str(value)]


def cache_folder() -> Path:
    """Where maps and embeddings of the explorer are kept between visits."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "bioacoustics"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bioacoustics"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bioacoustics"
