"""The OpenAPI document against the running server: what it promises is what comes."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from services.api.app import create_app
from services.api.openapi import printed
from services.api.options import ApiOptions
from shared.runtime.clock import SystemClock
from shared.store.pool import open_read_pool
from tests.services.api.seeds import seed_desk
from tests.support.servers import Database, wait

READS = (
    "read_status", "read_overview", "read_equity", "list_pairs", "read_opportunities",
    "list_orders", "list_ledger", "list_funding_rates", "read_decision", "list_runs",
    "read_skipped", "read_forecasts",
)  # fmt: skip


def test_the_document_is_the_same_each_time_and_names_every_read() -> None:
    text = printed()
    assert text == printed()
    assert text.endswith("}\n")
    document = json.loads(text)
    assert list(document) == sorted(document)
    operations = [path["get"] for path in document["paths"].values()]
    assert {o["operationId"] for o in operations} == {*READS, "listen"}
    assert all(path.keys() == {"get"} for path in document["paths"].values())


def test_the_dashboard_generates_its_types_from_this_document() -> None:
    copy = Path(__file__).parents[3] / "dashboard-ui" / "openapi.json"
    assert copy.read_text() == printed(), (
        "python -m services.api.openapi > dashboard-ui/openapi.json"
    )


def test_amounts_are_strings_in_the_document() -> None:
    pair = json.loads(printed())["components"]["schemas"]["PairView"]["properties"]
    assert pair["funding_usdt"]["type"] == "string"
    assert {"type": "string"} in pair["due_usdt"]["anyOf"]


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The server on a port of its own, in a thread with a loop of its own, over a seeded desk."""
    postgres = request.getfixturevalue("postgres")
    with postgres.database() as database, socket.socket() as listening:
        wait(seeded(database))
        listening.bind(("127.0.0.1", 0))
        stop = threading.Event()
        ready = threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(serve(database, listening, ready, stop)), daemon=True
        )
        thread.start()
        assert ready.wait(20)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        stop.set()
        thread.join(20)


async def seeded(database: Database) -> None:
    connection = await asyncpg.connect(database.owner_dsn)
    async with connection.transaction():
        await seed_desk(connection)
    await connection.close()


async def serve(
    database: Database, listening: socket.socket, ready: threading.Event, stop: threading.Event
) -> None:
    async with open_read_pool(database.dsn_for("carry_reader"), application="test") as pool:
        options = ApiOptions(replay_speed=Decimal(3600))
        app = create_app(pool=pool, clock=SystemClock(), options=options)
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
        )
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.should_exit = True
        await serving


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("name", READS)
def test_whatever_is_asked_the_answer_is_one_the_document_names(
    address: str, name: str, mode: GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/v1/openapi.json")
    operation = schema.find_operation_by_id(name)
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.path_parameters):
        return
    answered = []

    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=address)
        case.validate_response(response)
        answered.append(response.status_code)

    ask()
    assert answered
    assert max(answered) < 500
