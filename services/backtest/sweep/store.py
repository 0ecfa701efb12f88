"""Where a sweep keeps what it has: a folder, one Parquet file for each finished chunk.

A file appears whole or not at all (written aside, fsynced, renamed), and carries the digest of
data, sets, terms and code. So a sweep that was killed goes on where it was, and two never mix.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from services.backtest.sweep.compiled import code_version
from services.backtest.sweep.kernel import FIGURES
from services.backtest.sweep.market import Ints
from services.backtest.sweep.terms import Params, Terms
from shared.domain.errors import Misconfigured

NAME: Final = re.compile(r"chunk-(\d+)\.parquet")
INPUTS: Final = b"carry.inputs"
PARAMETERS: Final = ("span", "entry", "exit", "hold")
COLUMNS: Final = ("trades", "funding", "basis", "fees", "net", "drawdown", "beyond")

Figures = tuple[Ints, NDArray[np.float64]]
"""``out`` (n, 7) and daily returns (n, D) of one chunk."""


def inputs_digest(market_digest: str, params: Params, terms: Terms, chunk: int) -> str:
    """Return the SHA-256 of all that decides what is in which chunk."""
    seen = hashlib.sha256(repr((market_digest, terms.in_units(), chunk, code_version())).encode())
    seen.update(np.ascontiguousarray(params).tobytes())
    return seen.hexdigest()


class ChunkStore:
    """The chunks of one sweep in ``folder``; made when it is not there.

    Raises: Misconfigured when nothing can be written there, before anything is computed.
    """

    def __init__(self, folder: Path, inputs: str) -> None:
        self._folder = folder
        self._inputs = inputs
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()

    def finished(self, chunks: int) -> Iterator[tuple[int, Figures]]:
        """Yield the chunks that are there; what has another name is none of ours.

        Raises: Misconfigured when the folder holds chunks of another sweep, or a broken one.
        """
        for path in sorted(self._folder.iterdir()):
            named = NAME.fullmatch(path.name)
            if named is None:
                continue
            number = int(named[1])
            try:
                table = pq.read_table(path)
            except (pa.ArrowException, OSError) as error:
                raise Misconfigured(f"{path} cannot be read ({error}): remove it.") from error
            if (table.schema.metadata or {}).get(INPUTS) != self._inputs.encode():
                raise Misconfigured(
                    f"{path} is of another sweep (other data, sets, terms or code): "
                    "name another folder with --results, or remove this one."
                )
            if number < chunks:
                yield number, _figures(table)

    def keep(self, number: int, params: Params, figures: Figures) -> None:
        """Store one chunk; when this returns it outlives a crash.

        Raises: Misconfigured when there is no room for it, or nothing can be written any more.
        """
        path = self._folder / f"chunk-{number:06d}.parquet"
        aside = path.with_suffix(".new")
        with _writing(self._folder):
            with aside.open("wb") as file:
                pq.write_table(_table(params, figures, self._inputs), file)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Misconfigured(
            f"{folder} cannot be written ({error.strerror or error}): "
            "name another place with --results."
        ) from error


def _table(params: Params, figures: Figures, inputs: str) -> pa.Table:
    out, returns = figures
    columns = {name: params[:, i] for i, name in enumerate(PARAMETERS)}
    columns |= {name: out[:, i] for i, name in enumerate(COLUMNS)}
    daily = pa.FixedSizeListArray.from_arrays(pa.array(returns.ravel()), returns.shape[1])
    table = pa.table({**columns, "daily_returns": daily})
    return table.replace_schema_metadata({INPUTS: inputs.encode()})


def _figures(table: pa.Table) -> Figures:
    out = np.empty((table.num_rows, FIGURES), np.int64)
    for i, name in enumerate(COLUMNS):
        out[:, i] = table[name].to_numpy()
    daily = table["daily_returns"].combine_chunks()
    width = table.schema.field("daily_returns").type.list_size
    return out, np.array(daily.flatten().to_numpy()).reshape(-1, width)
