"""Index: make searches in a large store faster, and say what that costs."""

from pydantic import BaseModel, Field
from rich.console import Console

from bioacoustics.store.database import Store
from bioacoustics.store.index import TOP, build_index
from bioacoustics.workflows.output import Location


class IndexConfig(BaseModel, frozen=True, extra="forbid"):
    """What `index` needs to know."""

    store: Location = Field(
        description="store that `embed` made (a folder .lance, s3://...)",
        json_schema_extra={"positional": True},
    )


def index(config: IndexConfig, console: Console) -> None:
    """Build the index that `search --approximate` asks, and measure what it misses on the store's windows."""
    store = Store.open(config.store)
    store.compact()
    report = build_index(store)
    console.print(
        f"{config.store}: index over {report.num_windows} windows in {report.build_s:.1f} s; it finds "
        f"{100 * report.recall:.1f} % of the {TOP} nearest in {report.indexed_ms:.0f} ms "
        f"(exact search: {report.exact_ms:.0f} ms)",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
