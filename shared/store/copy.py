"""Rows in bulk by COPY, columns in the order of ``tables.py``; the caller owns the transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table

Row = tuple[object, ...]


async def copy_rows(connection: Any, table: Table, rows: Sequence[Row]) -> int:
    """Insert ``rows`` and return their count.

    Raises: asyncpg.UniqueViolationError when one is stored already; then none is.
    """
    await connection.copy_records_to_table(
        table.name, schema_name=table.schema, records=rows, columns=_columns(table)
    )
    return len(rows)


async def copy_new_rows(connection: Any, table: Table, rows: Sequence[Row]) -> int:
    """Insert those of ``rows`` whose key is not stored yet and return how many those are."""
    if not rows:
        return 0
    columns = ", ".join(f'"{name}"' for name in _columns(table))
    stage = f"stage_{table.schema}_{table.name}"
    target = f"{table.schema}.{table.name}"
    # Names come from tables.py, never from outside.
    await connection.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS {stage} (LIKE {target}) ON COMMIT DELETE ROWS"
    )
    await connection.copy_records_to_table(stage, records=rows, columns=_columns(table))
    status: str = await connection.execute(
        f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {stage} "  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )
    await connection.execute(f"TRUNCATE {stage}")
    return int(status.rpartition(" ")[2])


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]
