"""The chunks of a sweep on other machines, through Dask."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from services.backtest.sweep.columns import Columns, columns_of
from services.backtest.sweep.compiled import code_version
from services.backtest.sweep.market import SweepMarket
from services.backtest.sweep.run import run_params
from services.backtest.sweep.store import Figures
from services.backtest.sweep.terms import Params, Terms
from shared.domain.errors import Misconfigured

ROUNDS_MAX: Final = 5
CONNECT: Final = "30s"


class Cluster:
    """A ``Computer``: every chunk is one task of the scheduler at ``address``.

    Dask gives what a dead worker had to another. Should the market be lost with the last worker
    that held it, it is sent again and the rest resubmitted.
    """

    def __init__(self, address: str, *, workers: int = 1) -> None:
        """Wait for ``workers`` of them before the first chunk."""
        self._address = address
        self._workers = workers

    def __call__(
        self, market: SweepMarket, terms: Terms, chunks: Sequence[tuple[int, Params]]
    ) -> Iterator[tuple[int, Figures]]:
        """Yield each chunk as a worker finishes it.

        Raises: Misconfigured: Dask is not installed, nobody answers, or a worker's code differs.
        """
        try:
            import distributed
        except ImportError as error:
            raise Misconfigured(
                "--scheduler needs Dask: pip install 'carrydesk[dask]', or leave the option out."
            ) from error
        dask: Any = distributed
        with _client(dask.Client, self._address, self._workers) as client:
            left = dict(chunks)
            columns = columns_of(market)
            for _ in range(ROUNDS_MAX):
                sent = client.scatter(columns, broadcast=True, hash=False)
                tasks = {
                    client.submit(run_chunk, sent, params, terms, code_version(), pure=False): n
                    for n, params in left.items()
                }
                for task in dask.as_completed(tasks, raise_errors=False):
                    if (
                        isinstance(task.exception(), dask.CancelledError)
                        or task.status == "cancelled"
                    ):
                        continue
                    figures = task.result()
                    del left[tasks[task]]
                    yield tasks[task], figures
                    task.release()
                if not left:
                    return
        raise Misconfigured(f"{self._address}: workers kept dying: look into their logs.")


def _client(kind: Any, address: str, workers: int) -> Any:
    try:
        client = kind(address, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"no Dask scheduler answers at {address}: start one, or leave --scheduler out."
        ) from error
    try:
        client.wait_for_workers(workers, timeout=CONNECT)
    except TimeoutError as error:
        client.close()
        raise Misconfigured(f"{address} has no worker: start one.") from error
    return client


def run_chunk(columns: Columns, params: Params, terms: Terms, version: str) -> Figures:
    """Compute one chunk on a worker.

    Raises: Misconfigured when the worker's code is not the one that asks.
    """
    if code_version() != version:
        raise Misconfigured("a worker runs another version of the sweep: update its image.")
    return run_params(columns, params, terms)
