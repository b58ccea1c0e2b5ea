"""The database: a folder, or a place in an object store, that holds the tables of `schema`."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bioacoustics.store.migration import migrate
from bioacoustics.store.schema import FIXED_SCHEMAS, INDEXED, SCHEMA_VERSION, windows_schema

if TYPE_CHECKING:
    import lancedb

KEPT_VERSIONS = timedelta(hours=1)  # whoever reads while others write has so long to finish
MIN_INDEXED_ROWS = 10_000  # below, looking at every row is as fast


class Store:
    """Embeddings, scores and labels of many recordings in LanceDB tables.

    Any number of processes may read while one or several write: each reads the state that was current when
    it opened a table. A commit appears whole or not at all, also when its process is killed.
    """

    def __init__(self, location: str, connection: "lancedb.DBConnection") -> None:
        self.location = location
        self._connection = connection

    @classmethod
    def open(cls, location: str | Path) -> "Store":
        """Open a store that exists, and bring it to the schema of this version if it is older.

        Raises:
            FileNotFoundError: there is none at `location`.
            ValueError: it was made by a newer version.
        """
        is_there = "://" in fspath(location) or Path(location).is_dir()  # to connect would make a folder
        store = cls(fspath(location), _connected(location)) if is_there else None
        if store is None or "about" not in store.names():
            raise FileNotFoundError(
                f"{location}: there is no store; make one with: bioacoustics embed --output {location} ..."
            )
        migrate(store)
        return store

    @classmethod
    def create(cls, location: str | Path) -> "Store":
        """Open a store, or make an empty one where there is none.

        Raises:
            FileExistsError: something else is there.
            ValueError: it was made by a newer version.
        """
        path = Path(location)
        if "://" not in fspath(location) and path.exists() and not _is_ours_or_empty(path):
            raise FileExistsError(f"{location}: this is no store, and not empty; choose another name")
        store = cls(fspath(location), _connected(location))
        names = store.names()
        for name in FIXED_SCHEMAS:
            if name not in names and name != "about":
                store.make(name)
        if "about" not in names:  # the last table, so that a store that has it is complete
            version = [{"key": "schema_version", "value": str(SCHEMA_VERSION)}]
            store._connection.create_table("about", version, schema=FIXED_SCHEMAS["about"], exist_ok=True)
        migrate(store)
        return store

    def names(self) -> list[str]:
        """Which tables there are."""
        return list(self._connection.list_tables().tables)

    def table(self, name: str) -> Any:
        """A LanceDB table as it is now, with all of LanceDB's own methods."""
        return self._connection.open_table(name)

    def fact(self, key: str) -> Any:
        """What the store says about itself under `key`, such as the settings of a run; None if nothing."""
        rows = self.rows("about", ["value"], f"key = {quoted(key)}")
        return json.loads(rows["value"][0].as_py()) if rows.num_rows else None

    def facts(self) -> dict[str, Any]:
        """Everything that the store says about itself."""
        rows = self.rows("about", ["key", "value"]).to_pylist()
        return {row["key"]: json.loads(row["value"]) for row in rows}

    def state(self, key: str, value: object) -> None:
        """Note a fact; it takes the place of an older one."""
        text = json.dumps(value, ensure_ascii=False)
        row = pa.Table.from_pylist([{"key": key, "value": text}], FIXED_SCHEMAS["about"])
        self.upsert("about", row, "key")

    def make(self, name: str) -> None:
        """Make an empty table of the schema; nothing happens if there is one."""
        self._connection.create_table(name, schema=FIXED_SCHEMAS[name], exist_ok=True)

    def make_windows(self, dim: int) -> None:
        """Make the table of windows for embeddings of `dim` numbers; nothing happens if there is one."""
        self._connection.create_table("windows", schema=windows_schema(dim), exist_ok=True)

    def drop(self, name: str) -> None:
        """Throw a whole table away."""
        self._connection.drop_table(name)

    def upsert(self, name: str, rows: pa.Table, key: str | list[str] = "id") -> None:
        """Add rows in one commit; those whose key (of one or several columns) exists replace the old ones."""
        if rows.num_rows:
            merge = self.table(name).merge_insert(key).when_matched_update_all()
            merge.when_not_matched_insert_all().execute(rows)

    def delete(self, name: str, where: str) -> None:
        """Delete rows."""
        self.table(name).delete(where)

    def rows(self, name: str, columns: Sequence[str], where: str = "") -> pa.Table:
        """Some columns of the rows that fit an SQL condition."""
        return self._query(name, columns, where).to_arrow()

    def batches(self, name: str, columns: Sequence[str], where: str = "") -> Iterator[pa.RecordBatch]:
        """The same, piece by piece, where it may be more than fits into memory."""
        yield from self._query(name, columns, where).to_batches()

    def _query(self, name: str, columns: Sequence[str], where: str) -> Any:
        query = self.table(name).search().select(list(columns))
        return query.where(where) if where else query

    def count(self, name: str, where: str | None = None) -> int:
        """How many rows there are."""
        return int(self.table(name).count_rows(where)) if name in self.names() else 0

    def compact(self) -> None:
        """Join the small pieces that commits leave, and index what filters ask for; changes no row."""
        from lancedb.index import BTree

        for name in self.names():
            table = self.table(name)
            indexed = {index.columns[0] for index in table.list_indices()}
            if table.count_rows() >= MIN_INDEXED_ROWS:
                for column in sorted(set(INDEXED.get(name, ())) - indexed):
                    table.create_index(column, config=BTree())
            table.optimize(cleanup_older_than=KEPT_VERSIONS)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _connected(location: str | Path) -> "lancedb.DBConnection":
    import lancedb  # takes seconds to load

    return lancedb.connect(fspath(location))


def _is_ours_or_empty(path: Path) -> bool:
    return path.is_dir() and all(entry.suffix == ".lance" for entry in path.iterdir())
