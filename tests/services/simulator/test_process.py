"""The simulator as a process of its own: it says where it is, survives kill -9, stops cleanly."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest

from services.carry.demo.children import free_port
from tests.services.simulator.builders import KEY, SECRET, signed

pytestmark = pytest.mark.slow

ORDER = (
    '{"category":"spot","symbol":"BTCUSDT","side":"Buy","orderType":"Limit",'
    '"timeInForce":"IOC","qty":"0.01","price":"45000","orderLinkId":"%d"}'
)


async def started(folder: Path, port: int) -> tuple[asyncio.subprocess.Process, str]:
    own = {
        "CARRY_ENV_FILE": "",
        "CARRY_API_KEY": KEY,
        "CARRY_API_SECRET": SECRET,
        "CARRY_HTTP_PORT": str(port),
        "CARRY_STATE_DIR": str(folder),
        "CARRY_SYMBOLS": "BTCUSDT",
    }
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "CARRY_"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.carry.cli", "simulator",
        env={**inherited, **own}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(30):
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
    url = lines[0].removeprefix("simulator: ").strip()
    assert url == f"http://127.0.0.1:{port}"
    assert f'session.endpoint = "{url}"' in lines[1]
    assert "/v5/public/{CHANNEL_TYPE}" in lines[2]
    return process, url


async def test_every_acknowledged_order_survives_kill_9_and_sigterm_ends_it_cleanly(
    tmp_path: Path,
) -> None:
    port = free_port()
    process, url = await started(tmp_path, port)
    async with httpx.AsyncClient() as client:
        for number in range(10):
            raw = ORDER % number
            answer = await client.post(f"{url}/v5/order/create", content=raw, headers=signed(raw))
            assert answer.json()["retCode"] == 0
    process.kill()
    await process.wait()
    process, url = await started(tmp_path, port)
    async with httpx.AsyncClient() as client:
        shown = (await client.get(f"{url}/sim/state")).json()
    assert shown["counts"]["executions"] == 10
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_a_made_up_venue_needs_no_setting_and_says_its_key(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if name[:6] != "CARRY_"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.carry.cli", "simulator",
        "--synthetic", "3", "--port", "0", "--rate", "5", "--state", str(tmp_path),
        env={**inherited, "CARRY_ENV_FILE": ""}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    said: dict[str, str] = {}
    async with asyncio.timeout(30):
        while "secret" not in said:
            line = (await process.stdout.readline()).decode()
            name, _, value = line.strip().partition(": ")
            said[name] = value
    query = "accountType=UNIFIED"
    headers = signed(query, key=said["key"], secret=said["secret"])
    async with httpx.AsyncClient(base_url=said["simulator"]) as client:
        wallet = (await client.get(f"/v5/account/wallet-balance?{query}", headers=headers)).json()
        first = (await client.get("/sim/state")).json()["venue_ms"]
        await asyncio.sleep(0.3)
        assert (await client.get("/sim/state")).json()["venue_ms"] > first
    assert wallet["result"]["list"][0]["totalWalletBalance"] == "100000"
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert (tmp_path / "simulator.sqlite").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--synthetic", "3", "--live", "http://127.0.0.1:1"), "choose one source"),
        (("--live", "http://127.0.0.1:1"), "cannot be reached"),
        (("--synthetic", "3", "--faults", "/nowhere"), "No such file"),
        (("--history", "/nowhere"), "no such file"),
    ],
)
async def test_what_cannot_be_served_is_one_sentence_and_exit_code_2(
    options: tuple[str, ...], said: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.carry.cli", "simulator", *options,
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    _, error = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert said in error.decode()
    assert "Traceback" not in error.decode()
