"""MLflow's addresses of files, brought along when the folder they name was moved."""

from __future__ import annotations

from sqlalchemy import create_engine, inspect, text

_ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where the tables of MLflow 3.17 keep them; it has no call that changes one."""
_SECONDS_TO_WAIT = 60  # for another process that writes


def follow(database: str, earlier: str, now: str) -> None:
    """Let every address of files below the folder ``earlier`` begin with ``now``.

    Args:
        database: address of an SQLite file that MLflow keeps.
        earlier, now: URIs of a folder, without a slash at the end.

    Raises:
        SQLAlchemyError: when it cannot be written; nothing is changed then.
    """
    engine = create_engine(database, connect_args={"timeout": _SECONDS_TO_WAIT})
    known = {"earlier": earlier, "below": f"{earlier}/", "now": now, "length": len(earlier)}
    try:
        with engine.begin() as connection:
            tables = set(inspect(connection).get_table_names())
            for table, column in (
                (t, c) for t, columns in _ADDRESSES.items() if t in tables for c in columns
            ):
                change = (
                    f"UPDATE {table} SET {column} = :now || substr({column}, :length + 1) "  # noqa: S608 - our own words
                    f"WHERE {column} = :earlier OR substr({column}, 1, :length + 1) = :below"
                )
                connection.execute(text(change), known)
    finally:
        engine.dispose()
