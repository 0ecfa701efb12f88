"""Keys that their owner made: the venue holds the public half and takes RSA signatures alone."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from Crypto.PublicKey import RSA
from pybit.exceptions import InvalidRequestError
from pybit.unified_trading import HTTP

from services.simulator.main import Simulator
from shared.domain.errors import Misconfigured
from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.rest import Credentials
from shared.exchange.clients import gateway_of
from shared.exchange.ports import StreamReset
from shared.runtime.clock import SystemClock
from tests.services.simulator.builders import KEY, serving, settings
from tests.services.simulator.driven import driven
from tests.services.simulator.test_pybit import Script, executed, pointed_at, until

__all__ = ["pointed_at"]

OWN = RSA.generate(1024)
PRIVATE, PUBLIC = OWN.export_key().decode(), OWN.public_key().export_key().decode()


def traded(address: str) -> dict[str, str]:
    script = Script(address, secret=PRIVATE, rsa_authentication=True)
    try:
        script.subscribe()
        until(script.spot, lambda m: m["topic"] == "orderbook.1.BTCUSDT")
        script.order("spot", "Buy", "0.5", "45000", orderLinkId="rsa")
        return executed(script.private, "Trade", "spot")
    finally:
        script.close()


@pytest.mark.fact("bybit-v5 2.3: RSA-SHA256 in base64 for keys that their owner made")
async def test_unmodified_pybit_trades_and_listens_with_its_own_rsa_key(
    tmp_path: Path, pointed_at: Callable[[Simulator], None]
) -> None:
    async with serving(settings(tmp_path, key=(KEY, PUBLIC), autostart=True)) as simulator:
        pointed_at(simulator)
        fill = await asyncio.to_thread(traded, simulator.address)
    assert (fill["orderLinkId"], fill["execQty"]) == ("rsa", "0.5")


@pytest.mark.parametrize(
    ("secret", "rsa"),
    [(RSA.generate(1024).export_key().decode(), True), (PUBLIC, False), ("secret", False)],
    ids=["another key", "the public half as a shared secret", "no RSA at all"],
)
async def test_a_signature_of_anything_but_the_private_half_is_refused(
    tmp_path: Path, secret: str, rsa: bool
) -> None:
    async with serving(settings(tmp_path, key=(KEY, PUBLIC))) as simulator:
        session = HTTP(api_key=KEY, api_secret=secret, rsa_authentication=rsa)
        session.endpoint = f"http://{simulator.address}"
        with contextlib.closing(session.client), pytest.raises(InvalidRequestError, match="10004"):
            await asyncio.to_thread(session.get_api_key_information)


@pytest.mark.parametrize("client", ["bybit", "ccxt"])
async def test_our_clients_sign_with_the_private_key_that_the_secret_holds(
    tmp_path: Path, client: str
) -> None:
    async with serving(settings(tmp_path, key=(KEY, PUBLIC))) as simulator:
        where = simulator.address
        gateway = gateway_of(
            client,
            trading_endpoints("replay", f"http://{where}", f"ws://{where}"),
            Credentials(KEY, PRIVATE),
            venue="replay",
            clock=SystemClock(),
            draw=lambda: 0.0,
        )
        try:
            assert (await gateway.check_account(["BTCUSDT"], ["BTC"])).can_trade
            async with asyncio.timeout(timedelta(seconds=20).total_seconds()):
                assert isinstance(await anext(gateway.private_events()), StreamReset)
        finally:
            await gateway.close()


@pytest.mark.parametrize("pem", [PUBLIC, "-----BEGIN RSA PRIVATE KEY-----\nno\n"])
def test_a_client_refuses_to_start_on_a_text_that_can_sign_nothing(pem: str) -> None:
    with pytest.raises(Misconfigured, match="give the private half"):
        Credentials(KEY, pem)


async def test_a_venue_refuses_to_start_on_a_text_that_can_verify_nothing(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="holds no RSA key"):
        async with driven(tmp_path, key=(KEY, "-----BEGIN PUBLIC KEY-----\nno\n")):
            pytest.fail("it opened")
