"""The firehose of the simulator: 400 made-up symbols at 20 messages a second each, one client."""

import asyncio
import os
import re
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

SYMBOLS = 400
MOVES = 5  # a second, each a ticker and a book of spot and perpetual: 20 messages
CHANNELS = ("linear", "spot")
SPOT_ARGS_MAX = 10
SECONDS = 60
WARM_SECONDS = 3
LAG_MAX_SECONDS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")


class Frame(msgspec.Struct):
    """What is read of each message; acknowledgements have neither."""

    topic: str = ""
    ts: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run showed; CPU seconds are per 1,000 messages."""

    seconds: int
    per_second: float
    lag_seconds: float
    server_cpu: float
    client_cpu: float

    def sentence(self) -> str:
        held = self.lag_seconds <= LAG_MAX_SECONDS
        return (
            f"{SYMBOLS} symbols, {self.per_second:.0f} messages/s for {self.seconds} s: "
            f"queue at most {self.lag_seconds:.2f} s ({'holds' if held else 'MISSES'} 1 s); "
            f"CPU seconds per 1,000 messages: simulator {self.server_cpu:.3f}, "
            f"client {self.client_cpu:.3f}"
        )


def load(seconds: int = SECONDS) -> Load:
    """Run the simulator as a process of its own and listen to everything it says."""
    command = [sys.executable, "-m", "services.carry.cli", "simulator"]
    options = ["--synthetic", str(SYMBOLS), "--rate", str(MOVES), "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CARRY_")}
    with subprocess.Popen(
        [*command, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.match(rb"simulator: http://(\S+)", line):
                    address = found.group(1).decode()
                    return asyncio.run(_listen(address, process.pid, seconds))
        finally:
            process.terminate()
    raise AssertionError("the simulator did not start")


async def _listen(address: str, pid: int, seconds: int) -> Load:
    names = await _symbols(address)
    topics = [f"{kind}.{name}" for name in names for kind in ("tickers", "orderbook.50")]
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(_opened(address, c)) for c in CHANNELS]
        for socket in sockets:
            for first in range(0, len(topics), SPOT_ARGS_MAX):
                args = topics[first : first + SPOT_ARGS_MAX]
                await socket.send(msgspec.json.encode({"op": "subscribe", "args": args}).decode())
        await _heard(sockets, WARM_SECONDS)
        began, own, theirs = time.monotonic(), time.process_time(), _cpu_seconds(pid)
        count, lag = await _heard(sockets, seconds)
        took = time.monotonic() - began
        thousands = count / 1000
        return Load(
            seconds=seconds,
            per_second=count / took,
            lag_seconds=lag,
            server_cpu=(_cpu_seconds(pid) - theirs) / thousands,
            client_cpu=(time.process_time() - own) / thousands,
        )


def _opened(address: str, channel: str) -> connect:
    url = f"ws://{address}/v5/public/{channel}"
    return connect(url, max_size=None, max_queue=None, ping_interval=None)


async def _heard(sockets: list[ClientConnection], seconds: float) -> tuple[int, float]:
    """Return how many messages came, and by how much the latest trailed the promptest, seconds.

    The venue's time runs at the speed of ours here, so that its stamps tell the delay.
    """
    ends = time.monotonic() + seconds
    heard = await asyncio.gather(*(_heard_on(socket, ends) for socket in sockets))
    behind = [lag for _, best, worst in heard for lag in (best, worst)]
    return sum(count for count, _, _ in heard), max(behind) - min(behind)


async def _heard_on(socket: ClientConnection, ends: float) -> tuple[int, float, float]:
    decoder = msgspec.json.Decoder(Frame)
    count, best, worst = 0, float("inf"), float("-inf")
    while time.monotonic() < ends:
        frame = decoder.decode(await socket.recv(decode=False))
        if frame.topic:
            behind = time.monotonic() - frame.ts / 1000
            best, worst, count = min(best, behind), max(worst, behind), count + 1
    return count, best, worst


async def _symbols(address: str) -> list[str]:
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        answer = await client.get("/v5/market/instruments-info?category=linear&limit=1000")
        return [row["symbol"] for row in answer.json()["result"]["list"]]


def _cpu_seconds(pid: int) -> float:
    """Return what a process has used so far, from the kernel's own account."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
