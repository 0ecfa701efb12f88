"""Every code that the venue documents, as its answer to an order: what each client makes of it."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.errors import InsufficientMargin, OrderRejected, OutcomeUnknown, RateLimited
from shared.domain.instrument import Category
from shared.domain.order import OrderTicket, Side
from shared.exchange.bybit.endpoints import trading_endpoints
from shared.exchange.bybit.errors import Disarmed, Throttled
from shared.exchange.bybit.gateway import BybitGateway
from shared.exchange.bybit.rest import Credentials
from shared.exchange.clients import gateway_of
from tests.services.simulator.builders import KEY, SECRET, serving, settings
from tests.support.clock import ManualClock

REFERENCE = Path(__file__).parents[3] / "shared" / "bybit-v5.md"

# RELIABILITY 5.2. A refusal is a definite no to this order on its first send.
THIS_SEND = (-1, 10002, 10006, 170005, 170222)
DISARM = (
    -2015, 10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, 33004,
    110066, 110067, 110123, 110124, 110125,
)  # fmt: skip
MARGIN = (110004, 110006, 110007, 110012, 110044, 110045, 170033, 170131)
REFUSED = (
    10001, 10028, 10029, 30208, 30209, 30228,
    110003, 110009, 110011, 110013, 110017, 110020, 110021, 110022, 110023, 110039, 110040,
    110042, 110046, 110063, 110074, 110080, 110086, 110089, 110090, 110092, 110093, 110094,
    110103, 110108, 110109, 110120, 110121,
    170036, 170037, 170121, 170124, 170130, 170132, 170133, 170134, 170136, 170137, 170140,
    170148, 170151, 170157, 170192, 170193, 170194, 170207, 170210, 170217, 170218, 170226,
    170227, 170341, 170344, 170371, 170372, 170381, 170382, 170810,
    176002, 176008, 176009, 176019, 176022, 176026, 176027, 176028, 176029,
)  # fmt: skip
EXISTS = (110072, 170141)
IN_DOUBT = (10000, 10014, 10016, 10019, 170001, 170007, 170032, 170146, 170147, 170149, 170150,
            170234)  # fmt: skip
ELSEWHERE = (
    429, 10017, 10403, 10404, 10429, 20001, 20003, 20006, 34040, 40004, 110001, 110008, 110010,
    110024, 110025, 110026, 110027, 110028, 110038, 110043, 110073, 110077, 110079, 110110, 110111,
    110112, 110113, 110114, 110115, 110116, 110117, 110118, 131239, 140001, 170139, 170142, 170143,
    170190, 170191, 170212, 170213, 170310, 181010, 182011, 182021, 182120, 3200641, 3400045,
    34022030, 34022031, 34022035, 34022038, 34022050,
)  # fmt: skip
"""Codes of other calls, and of overload: as an answer to an order they prove nothing."""
UNHEARD_OF = (1, 987654)

EXPECTED: dict[int, type[Exception]] = {
    **dict.fromkeys(THIS_SEND, RateLimited),
    10006: Throttled,  # the same remedy, and the venue says from when on
    **dict.fromkeys(DISARM, Disarmed),
    **dict.fromkeys(MARGIN, InsufficientMargin),
    **dict.fromkeys(REFUSED, OrderRejected),
    # "exists" is read and never taken for a refusal: the remedy of doubt
    **dict.fromkeys((*EXISTS, *IN_DOUBT, *ELSEWHERE, *UNHEARD_OF), OutcomeUnknown),
}
SCRIPT = "faults:\n" + "".join(
    f"- {{kind: error, where: order/create, nth: 1, code: {code}}}\n" for code in EXPECTED
)
"""Each strikes the first order that those before it let pass."""

Answers = dict[int, Exception | str]


async def send(gateway: BybitGateway, link_id: str) -> Exception | str:
    """Return the venue's order id, or what the client raised."""
    ticket = OrderTicket(
        link_id, Category.LINEAR, "BTCUSDT", Side.BUY, Decimal("0.001"), Decimal(90_000),
        reduce_only=False,
    )  # fmt: skip
    try:
        return await gateway.place_order(ticket, datetime.now(UTC))
    except Exception as error:
        return error


async def answers(client: str, folder: Path) -> Answers:
    script = folder / "faults.yaml"
    script.write_text(SCRIPT)
    given = settings(folder, database=None, synthetic=1, symbols=None, start=None, faults=script)
    async with serving(given) as simulator:
        where = simulator.address
        gateway = gateway_of(
            client,
            trading_endpoints("replay", f"http://{where}", f"ws://{where}"),
            Credentials(KEY, SECRET),
            venue="replay",
            clock=ManualClock(auto=True),  # three hundred orders do not wait for their turns
            draw=lambda: 0.0,
        )
        try:
            seen = {code: await send(gateway, f"o{place}") for place, code in enumerate(EXPECTED)}
            assert simulator.desk.counts()["orders"] == 0
            seen[0] = await send(gateway, "accepted")
            assert simulator.desk.counts()["orders"] == 1
        finally:
            await gateway.close()
    return seen


@pytest.fixture(scope="module", params=["bybit", "ccxt"])
def answered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What one client makes of each code, all over one connection."""
    return asyncio.run(answers(request.param, tmp_path_factory.mktemp("codes")))


@pytest.mark.parametrize("code", EXPECTED)
def test_a_code_has_the_class_that_the_table_gives_it(answered: Answers, code: int) -> None:
    said = answered[code]
    assert type(said) is EXPECTED[code]
    assert str(code) in str(said)


def test_an_order_without_a_code_is_accepted(answered: Answers) -> None:
    assert isinstance(answered[0], str)
    assert answered[0]


def documented() -> Iterator[int]:
    """Yield the codes in the first column of the reference's table of codes."""
    chapter = REFERENCE.read_text().partition("## 13. Codes")[2].partition("\n---")[0]
    for line in chapter.splitlines():
        cell = line.strip("|").partition("|")[0]
        if line.startswith("|") and re.fullmatch(r"[-–\d, ]+", cell.strip()):
            for first, last in re.findall(r"(-?\d+)(?:–(\d+))?", cell):
                yield from range(int(first), int(last or first) + 1)


def test_no_code_of_the_reference_is_left_out() -> None:
    if not REFERENCE.is_file():
        pytest.skip("the reference is not beside the repository")
    codes = set(documented())
    assert {0, -1, -2015, 110113, 170193, 176027, 34022050} <= codes
    assert codes - set(EXPECTED) == {0}
