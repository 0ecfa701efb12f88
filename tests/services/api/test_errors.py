import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.api.app import create_app
from services.api.options import ApiOptions
from services.api.reader import Reader
from shared.domain.errors import StoreUnavailable
from shared.store.pool import open_read_pool
from tests.services.api.seeds import DECISION
from tests.support.clock import ManualClock
from tests.support.servers import Database, Postgres

READS = (
    "status", "overview", "equity", "pairs", "opportunities", "orders", "ledger", "funding-rates",
    "runs", f"decisions/{DECISION}", "events",
)  # fmt: skip


def shut_out(postgres: Postgres, database: Database) -> None:
    """Take the database away as a stopped server would: sessions end, new ones are refused."""
    name = database.owner_dsn.partition("?")[0].rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )


@pytest.mark.parametrize("path", READS)
async def test_without_its_database_every_read_is_a_503_problem(
    client: httpx.AsyncClient, postgres: Postgres, database: Database, path: str
) -> None:
    await asyncio.to_thread(shut_out, postgres, database)
    answer = await client.get(f"/v1/{path}")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (503, "Service Unavailable")
    assert problem["detail"].startswith("The database ")


async def test_readiness_follows_the_database_and_health_does_not(
    client: httpx.AsyncClient, postgres: Postgres, database: Database
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    await asyncio.to_thread(shut_out, postgres, database)
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200


async def test_a_database_without_our_schema_is_not_ready(
    empty_database: Database, clock: ManualClock
) -> None:
    async with open_read_pool(empty_database.owner_dsn, application="test") as pool:
        app = create_app(pool=pool, clock=clock, options=ApiOptions())
        async with asking(app) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, "carry db migrate" in answer.text) == (503, True)
            assert (await client.get("/v1/overview")).status_code == 503


async def test_a_store_that_hangs_is_given_up_after_its_deadline() -> None:
    class Hanging:
        @asynccontextmanager
        async def acquire(self) -> AsyncIterator[Any]:
            await asyncio.Event().wait()
            yield

    reader = Reader(Hanging(), deadline_seconds=0.01)
    with pytest.raises(StoreUnavailable, match=r"did not answer in 0\.01 s"):
        async with reader.connection():
            pass


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("orders?limit=0", "limit"),
        ("orders?limit=501", "limit"),
        ("orders?before=2023-11-11T00:00:00", "before"),
        ("orders?before=19376472", "before"),
        ("orders?before=0001-01-01T00:00:00%2B14:00", "before"),
        ("orders?pair=btc", "pair"),
        ("ledger?before=9223372036854775808", "before"),
        ("ledger?before=0", "before"),
        ("funding-rates?symbol=BTC%0AUSDT", "symbol"),
        ("decisions/NOT%20ONE", "decision_id"),
    ],
)
async def test_a_wrong_parameter_is_named_in_a_422_problem(
    client: httpx.AsyncClient, path: str, named: str
) -> None:
    answer = await client.get(f"/v1/{path}")
    assert (answer.status_code, answer.json()["title"]) == (422, "Unprocessable Content")
    assert answer.json()["detail"].startswith(f"{named}: ")


async def test_limits_are_allowed_up_to_both_bounds(client: httpx.AsyncClient) -> None:
    for limit in (1, 500):
        assert (await client.get(f"/v1/orders?limit={limit}")).status_code == 200


async def test_what_is_not_there_is_a_404_problem(client: httpx.AsyncClient) -> None:
    for path in (f"/v1/decisions/{DECISION}", "/v1/nothing", "/v1", "/nothing"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)


async def test_nothing_but_reading_is_offered(client: httpx.AsyncClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await client.request(method, "/v1/pairs")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert answer.json()["status"] == 405


async def test_a_mistake_of_ours_is_a_500_problem_without_its_cause(clock: ManualClock) -> None:
    class Broken:
        def acquire(self) -> Any:
            raise KeyError("secret")

    app = create_app(pool=Broken(), clock=clock, options=ApiOptions())
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        answer = await client.get("/v1/status")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_requests_are_counted_by_route_and_class(client: httpx.AsyncClient) -> None:
    await client.get("/v1/pairs")
    await client.get("/v1/pairs?x=1")
    await client.get("/v1/orders?limit=0")
    text = (await client.get("/metrics")).text
    assert 'carry_api_requests_total{route="pairs",status="2xx"} 2.0' in text
    assert 'carry_api_requests_total{route="orders",status="4xx"} 1.0' in text
    assert 'carry_api_request_seconds_count{route="pairs"} 2.0' in text


async def test_answers_carry_the_security_headers(client: httpx.AsyncClient) -> None:
    headers = (await client.get("/v1/pairs")).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@asynccontextmanager
async def asking(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        yield client


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(
        "<html><script>go()</script><script src='/_next/static/a.js'></script></html>"
    )
    (tmp_path / "404.html").write_text("<html>missing</html>")
    (tmp_path / "opportunities").mkdir()
    (tmp_path / "opportunities" / "index.html").write_text("<html>ranking</html>")
    (tmp_path / "_next" / "static").mkdir(parents=True)
    (tmp_path / "_next" / "static" / "a.js").write_text("1")
    return tmp_path


async def test_the_built_pages_are_served_with_the_hashes_of_their_own_scripts(
    pages: Path, clock: ManualClock
) -> None:
    app = create_app(pool=_Nothing(), clock=clock, options=ApiOptions(dashboard=pages))
    async with asking(app) as client:
        home = await client.get("/")
        # printf 'go()' | openssl dgst -sha256 -binary | base64
        script = "script-src 'self' 'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw=';"
        assert script in home.headers["content-security-policy"]
        assert home.headers["cache-control"] == "no-cache"
        asset = await client.get("/_next/static/a.js")
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "ranking" in (await client.get("/opportunities/")).text
        missing = await client.get("/nowhere")
        assert (missing.status_code, "missing" in missing.text) == (404, True)
        assert (await client.get("/v1/nothing")).json()["status"] == 404
        assert (await client.get("/../conftest.py")).status_code == 404


async def test_a_page_that_is_built_anew_gets_a_new_policy(pages: Path, clock: ManualClock) -> None:
    app = create_app(pool=_Nothing(), clock=clock, options=ApiOptions(dashboard=pages))
    async with asking(app) as client:
        before = (await client.get("/")).headers["content-security-policy"]
        (pages / "index.html").write_text("<script>other()</script>")
        after = (await client.get("/")).headers["content-security-policy"]
    assert before != after


class _Nothing:
    def acquire(self) -> Any:
        raise StoreUnavailable("none")
