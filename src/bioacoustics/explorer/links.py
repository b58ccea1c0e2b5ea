"""Links: the state of the page as a few letters in its address, and as a file."""

import base64
import json
import zlib
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from bioacoustics.explorer.spectrograms import SpectrogramConfig

MAX_LETTERS = 6000  # of an address that every browser keeps
MAX_BYTES = 2_000_000  # of a state unpacked


class ViewState(BaseModel, frozen=True, extra="ignore"):
    """What a visitor sees; the names are those of the page's controls."""

    version: Literal[1] = 1
    method: Literal["pca", "tsne", "umap"] = "umap"
    dims: Literal[2, 3] = 2
    perplexity: int = Field(default=30, ge=5, le=100)
    exaggeration: float = Field(default=12.0, ge=1, le=30)
    learning_rate: int = Field(default=0, ge=0, le=2000)
    neighbours: int = Field(default=15, ge=2, le=100)
    min_dist: float = Field(default=0.1, ge=0, le=0.99)
    metric: Literal["cosine", "euclidean", "manhattan", "correlation"] = "cosine"
    fast: bool = False
    seed: int = Field(default=0, ge=0, le=9999)
    colour: str = Field(default="cluster", max_length=40)
    search: str = Field(default="", max_length=500)
    grouping: Literal["kmeans", "hdbscan"] = "kmeans"
    k: int = Field(default=8, ge=2, le=40)
    min_size: int = Field(default=15, ge=2, le=200)
    season: str = Field(default="", max_length=200)  # name of a store, or "date"
    season_date: str = Field(default="", max_length=10)
    panel: str = Field(default="clusters", max_length=40)
    language: Literal["en", "es"] = "en"
    spectrogram: SpectrogramConfig = SpectrogramConfig()
    cluster_names: dict[int, str] = Field(default_factory=dict, max_length=200)
    focus: str = Field(default="", max_length=200)  # id of a window
    selected: tuple[str, ...] = ()  # ids; left out of addresses, which would grow too long


def to_address(state: ViewState) -> str:
    """The state in letters that an address may hold."""
    said = state.model_dump(mode="json", exclude_defaults=True, exclude={"selected"})
    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(said).encode(), 9)).decode().rstrip("=")
    return packed if len(packed) <= MAX_LETTERS else ""


def from_address(text: str) -> ViewState:
    """The state that an address holds.

    Raises:
        ValueError: it holds none.
    """
    try:
        packed = base64.urlsafe_b64decode(text[:MAX_LETTERS] + "=" * (-len(text) % 4))
        unpacked = zlib.decompressobj().decompress(packed, MAX_BYTES)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the address is damaged ({error})") from error
    return from_json(unpacked.decode("utf-8", "replace"))


def to_json(state: ViewState) -> str:
    """The state as a file."""
    return state.model_dump_json(indent=1)


def from_json(text: str) -> ViewState:
    """The state that a file holds.

    Raises:
        ValueError: it is no state, or one of its values makes no sense.
    """
    try:
        said: Any = json.loads(text)
        return ViewState.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"no JSON that can be read ({error})") from error
