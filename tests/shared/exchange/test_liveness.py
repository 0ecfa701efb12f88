"""Topics that fall silent while their socket stands."""

from shared.exchange.bybit.frames import PublicFrame
from shared.exchange.bybit.liveness import Liveness

BOOK, TICKER, QUIET = "orderbook.1.BTCUSDT", "tickers.BTCUSDT", "tickers.XUSDT"


def said(*topics: str) -> list[PublicFrame]:
    return [PublicFrame(topic=topic) for topic in topics]


def test_a_topic_is_unheard_until_it_speaks() -> None:
    liveness = Liveness([BOOK, TICKER])
    liveness.hear(said(TICKER), 0.0)
    assert liveness.unheard() == [BOOK]
    liveness.hear(said(BOOK, BOOK), 0.1)
    assert liveness.unheard() == []


def test_the_one_topic_that_stops_is_told_and_the_others_are_not() -> None:
    liveness = Liveness([BOOK, TICKER])
    for tick in range(21):
        liveness.hear(said(BOOK, TICKER), float(tick))
    for tick in range(21, 30):
        liveness.hear(said(TICKER), float(tick))
    assert liveness.silent(29.0) == []  # nine seconds: three repeats of the book
    assert liveness.silent(29.1) == [BOOK]
    liveness.hear(said(BOOK), 29.2)
    assert liveness.silent(29.3) == []


def test_a_topic_that_is_quiet_by_nature_is_left_in_peace() -> None:
    liveness = Liveness([QUIET])
    for tick in range(0, 600, 60):
        liveness.hear(said(QUIET), float(tick))
    assert liveness.silent(540.0 + 180) == []
    assert liveness.silent(540.0 + 181) == [QUIET]


def test_what_has_never_spoken_is_unheard_and_not_silent() -> None:
    assert Liveness([BOOK]).silent(1e9) == []
