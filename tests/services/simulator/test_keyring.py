"""Every key of the account opens it with its own secret and with no other's."""

import hashlib
import hmac

import pytest

from services.simulator.auth import Key, Keyring
from shared.venue.rules import Refused

RING = Keyring((Key("executor", "one"), Key("watchdog", "two")))
NOW = 1_700_000_000_000


def signed(key: str, secret: str) -> dict[str, str]:
    text = f"{NOW}{key}5000category=spot"
    return {
        "x-bapi-api-key": key,
        "x-bapi-timestamp": str(NOW),
        "x-bapi-recv-window": "5000",
        "x-bapi-sign": hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest(),
    }


@pytest.mark.parametrize(("key", "secret"), [("executor", "one"), ("watchdog", "two")])
def test_each_key_opens_the_account_with_its_own_secret(key: str, secret: str) -> None:
    RING.check_request(signed(key, secret), b"category=spot", NOW)
    text = f"GET/realtime{NOW + 1}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    assert RING.check_socket([key, NOW + 1, signature], NOW)
    assert not RING.check_socket([key, NOW + 1, signature[::-1]], NOW)


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [("executor", "two", 10004), ("watchdog", "one", 10004), ("x", "one", 10003)],
)
def test_no_key_borrows_anothers_secret(key: str, secret: str, code: int) -> None:
    with pytest.raises(Refused) as refused:
        RING.check_request(signed(key, secret), b"category=spot", NOW)
    assert refused.value.code == code
