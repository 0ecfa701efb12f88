"""pybit's REST client on worker threads: one bounded pool, one session per thread.

pybit is synchronous and hides three things that a desk may not have hidden: it sends again by
itself, it chooses the signed timestamp inside, and it logs when nobody configured logging. All
three are taken from it here and nowhere else.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from Crypto.PublicKey import RSA
from pybit.unified_trading import HTTP

from shared.domain.errors import CarryError, Malformed, Misconfigured, OutcomeUnknown, RateLimited
from shared.exchange.bybit.budget import IN_FLIGHT
from shared.exchange.bybit.errors import read_failure, venue_code, write_failure
from shared.exchange.bybit.parse import milliseconds
from shared.runtime.clock import Clock

RECV_WINDOW_MS: Final = 3_000
TIMEOUT_SECONDS: Final = 5
THREADS: Final = sum(IN_FLIGHT.values())
"""One for every call that the budget lets pass: none queues behind another kind's slow answers."""
STALLED_SEND: Final = timedelta(seconds=1)
NEVER: Final = frozenset({0})
"""pybit replaces an empty set of codes to retry by its own; retCode 0 is never an error."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of one account; the secret is never shown.

    The secret is the venue's, or the PEM text of the private RSA key whose public half the venue
    holds. Raises: Misconfigured when a PEM text is no such key.
    """

    api_key: str
    api_secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse at the start what could sign nothing later."""
        if self.signs_with_rsa and not _is_private_key(self.api_secret):
            raise Misconfigured(
                "CARRY_API_SECRET is a PEM text without a private RSA key that can be read: give "
                "the private half, without a passphrase."
            )

    @property
    def signs_with_rsa(self) -> bool:
        """Whether requests are signed with RSA instead of HMAC."""
        return "-----BEGIN" in self.api_secret


def _is_private_key(pem: str) -> bool:
    try:
        return RSA.import_key(pem).has_private()
    except (ValueError, IndexError, TypeError):
        return False


class Rest(Protocol):
    """What feed and gateway need of a REST client; methods go by pybit's names."""

    async def read(self, method: str, /, **query: str | int) -> Mapping[str, Any]:
        """Return the ``result`` of one read."""
        ...

    async def write(
        self,
        method: str,
        query: Mapping[str, str | int | bool],
        *,
        signed_at: datetime | None = None,
        done_codes: frozenset[int] = frozenset(),
    ) -> Mapping[str, Any]:
        """Return the ``result`` of one write, sent once."""
        ...

    async def close(self) -> None:
        """Let go of sockets and threads."""
        ...


class Session(HTTP):  # type: ignore[misc]
    """One thread's pybit session, signing with a timestamp of ours where one is given."""

    def __init__(
        self, rest_url: str, credentials: Credentials | None, receive_window_ms: int
    ) -> None:
        super().__init__(
            rsa_authentication=credentials is not None and credentials.signs_with_rsa,
            api_key=credentials.api_key if credentials else None,
            api_secret=credentials.api_secret if credentials else None,
            recv_window=receive_window_ms,
            timeout=TIMEOUT_SECONDS,
            max_retries=1,
            retry_codes=set(NEVER),
        )
        self.endpoint = rest_url
        self.signed_ms: int | None = None
        # Neither .netrc nor a proxy of the environment may come between us and the venue.
        self.client.trust_env = False

    def _prepare_headers(
        self, payload: str, recv_window: int, content_type: str = "application/json"
    ) -> dict[str, str]:
        """Sign with the journaled instant: pybit takes its own clock's, which no journal knows.

        The venue refuses what was signed more than the receive window ago. That makes the journaled
        instant the fence after which an unseen order can no longer appear.
        """
        headers: dict[str, str] = super()._prepare_headers(payload, recv_window, content_type)
        if self.signed_ms is not None:
            headers["X-BAPI-TIMESTAMP"] = str(self.signed_ms)
            headers["X-BAPI-SIGN"] = self._auth(payload, recv_window, self.signed_ms)
        return headers


class RestClient:
    """Calls pybit methods by name and returns their ``result``; errors are ours."""

    def __init__(
        self,
        rest_url: str,
        credentials: Credentials | None,
        *,
        clock: Clock,
        receive_window_ms: int = RECV_WINDOW_MS,
    ) -> None:
        self._rest_url = rest_url
        self._credentials = credentials
        self._clock = clock
        self._receive_window_ms = receive_window_ms
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="bybit-rest")
        self._local = threading.local()
        self._sessions: list[Session] = []

    async def read(self, method: str, /, **query: str | int) -> Mapping[str, Any]:
        """Return the ``result`` of one read.

        Raises: ExchangeUnavailable, RateLimited, Malformed, Rejected (asked wrongly), Disarmed.
        """
        answer = await self._run(lambda: self._call(method, query), read_failure)
        return result_of(answer, Malformed)

    async def write(
        self,
        method: str,
        query: Mapping[str, str | int | bool],
        *,
        signed_at: datetime | None = None,
        done_codes: frozenset[int] = frozenset(),
    ) -> Mapping[str, Any]:
        """Return the ``result`` of one write, sent once; empty when the code is in ``done_codes``.

        Raises: OrderRejected, RateLimited (not taken), OutcomeUnknown, Disarmed.
        """

        def send() -> Any:
            try:
                return self._call(method, query, signed_at)
            except Exception as error:
                if venue_code(error) in done_codes:
                    return {"result": {}}
                raise

        return result_of(await self._run(send, write_failure), OutcomeUnknown)

    async def close(self) -> None:
        """Let the threads end once what they send has been answered, and drop the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for session in self._sessions:
            session.client.close()

    async def _run(
        self, call: Callable[[], Any], failure: Callable[[Exception], CarryError]
    ) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except Exception as error:  # the adapter's edge: every library's failure becomes ours
            raise failure(error) from error

    def _call(
        self, method: str, query: Mapping[str, Any], signed_at: datetime | None = None
    ) -> Any:
        refuse_stalled(signed_at, self._clock)
        session = self._session()
        session.signed_ms = None if signed_at is None else milliseconds(signed_at)
        return getattr(session, method)(**query)

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _silent_session(self._rest_url, self._credentials, self._receive_window_ms)
            self._local.session = session
            self._sessions.append(session)
        return session


def refuse_stalled(signed_at: datetime | None, clock: Clock) -> None:
    """Raise RateLimited when what was signed at ``signed_at`` waited too long to be sent."""
    if signed_at is not None and clock.now() - signed_at > STALLED_SEND:
        raise RateLimited(f"not sent: it was signed at {signed_at.isoformat()}, too long ago")


def _silent_session(
    rest_url: str, credentials: Credentials | None, receive_window_ms: int
) -> Session:
    """Return a session without the log handler that pybit adds when the root has none."""
    logger = logging.getLogger("pybit._http_manager")
    before = list(logger.handlers)
    session = Session(rest_url, credentials, receive_window_ms)
    for handler in [h for h in logger.handlers if h not in before]:
        logger.removeHandler(handler)
    return session


def result_of(answer: Any, failure: type[CarryError]) -> Mapping[str, Any]:
    """Return the ``result`` of an envelope; raises ``failure`` when it holds none."""
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict):
        raise failure("the answer holds no result")
    return result
