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
WORKER_AGAIN: Final = 30
"""Seconds that a sweep which lost its last worker waits for one."""


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

        Raises: Misconfigured: Dask is not installed, nobody answers, a worker's code differs, or
            the scheduler or the last worker was lost half-way.
        """
        try:
            import distributed
        except ImportError as error:
            raise Misconfigured(
                "--scheduler needs Dask: pip install 'carrydesk[dask]', or leave the option out."
            ) from error
        dask: Any = distributed
        try:
            with _client(dask.Client, self._address, self._workers) as client:
                yield from _rounds(dask, client, columns_of(market), terms, dict(chunks))
        except (OSError, dask.KilledWorker) as error:  # a timeout and a closed line are OSErrors
            raise Misconfigured(
                f"{self._address} lost its workers or is gone ({type(error).__name__}): "
                "start a worker and run the same command: finished chunks are kept."
            ) from error


def _rounds(
    dask: Any, client: Any, columns: Columns, terms: Terms, left: dict[int, Params]
) -> Iterator[tuple[int, Figures]]:
    """Yield each chunk that is ``left``; what is cancelled with its market is sent once more.

    Raises: OSError or KilledWorker when there is nobody left to send it to.
    """
    for _ in range(ROUNDS_MAX):
        sent = client.scatter(columns, broadcast=True, hash=False, timeout=WORKER_AGAIN)
        tasks = {
            client.submit(run_chunk, sent, params, terms, code_version(), pure=False): n
            for n, params in left.items()
        }
        for task in dask.as_completed(tasks, raise_errors=False):
            try:
                figures = task.result()
            except dask.CancelledError:
                continue
            del left[tasks[task]]
            yield tasks[task], figures
            task.release()
        if not left:
            return
    raise ConnectionError(f"{len(left)} chunks were cancelled {ROUNDS_MAX} times")


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
