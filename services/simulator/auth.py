"""Who may ask: V5 signatures over the raw bytes, the receive window, and rate limits."""

import base64
import functools
import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from services.simulator.query import whole
from shared.domain.errors import Misconfigured
from shared.venue.rules import Refused

FUTURE_MS: Final = 1000
PEM: Final = "-----BEGIN"
SECOND_MS: Final = 1000
RESET_MARGIN_MS: Final = 5
DEFAULT_WINDOW: Final = "5000"
ADDRESS_REQUESTS: Final = 600
ADDRESS_SPAN_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the account; its secret is shared, or the public half of an RSA key.

    Source: bybit-v5.md 2.3. Keys made by the venue sign with HMAC-SHA256 in lower-case hex, keys
    made by their owner with RSA-SHA256 in base64; of those the venue holds the public half (PEM).
    """

    api_key: str
    api_secret: str

    def __post_init__(self) -> None:
        """Raise Misconfigured for a PEM text that holds no RSA key."""
        if PEM in self.api_secret:
            _public_key(self.api_secret)

    def check_request(self, headers: Mapping[str, str], payload: bytes, now_ms: int) -> None:
        """Raise Refused unless key, wall-clock window and signature of a request hold.

        ``payload`` is the raw query string or the raw body, exactly as it was on the wire.
        """
        key = headers.get("x-bapi-api-key", "")
        stamp = headers.get("x-bapi-timestamp", "")
        window = headers.get("x-bapi-recv-window", DEFAULT_WINDOW)
        if not hmac.compare_digest(key.encode(), self.api_key.encode()):
            raise Refused(10003, "API key is invalid.")
        check_window(stamp, window, now_ms)
        given = headers.get("x-bapi-sign", "")
        if not self._signed(f"{stamp}{key}{window}".encode() + payload, given):
            raise Refused(10004, "error sign! please check your signature generation algorithm.")

    def check_socket(self, args: object, now_ms: int) -> bool:
        """Return whether ``[key, expires, signature]`` opens the private stream."""
        if not (isinstance(args, list) and len(args) == 3):
            return False
        key, expires, signature = (str(each) for each in args)
        until_ms = whole(expires)
        if until_ms is None or until_ms <= now_ms:
            return False
        known = hmac.compare_digest(key.encode(), self.api_key.encode())
        return known and self._signed(f"GET/realtime{expires}".encode(), signature)

    def _signed(self, message: bytes, signature: str) -> bool:
        if PEM in self.api_secret:
            return _rsa_signed(self.api_secret, message, signature)
        right = hmac.new(self.api_secret.encode(), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest(right.encode(), signature.encode())


def check_window(stamp: str, window: str, now_ms: int) -> None:
    """Raise Refused unless ``now - window <= stamp < now + 1000``, milliseconds of wall time."""
    signed_ms, window_ms = whole(stamp), whole(window)
    if signed_ms is None or window_ms is None:
        raise Refused(10001, "invalid timestamp or recv_window")
    if not now_ms - window_ms <= signed_ms < now_ms + FUTURE_MS:
        raise Refused(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )


def _rsa_signed(pem: str, message: bytes, signature: str) -> bool:
    try:
        given = base64.b64decode(signature, validate=True)
        pkcs1_15.new(_public_key(pem)).verify(SHA256.new(message), given)
    except ValueError:
        return False
    return True


@functools.cache
def _public_key(pem: str) -> RSA.RsaKey:
    try:
        return RSA.import_key(pem).public_key()
    except (ValueError, IndexError, TypeError) as error:
        raise Misconfigured(
            f"CARRY_API_SECRET holds no RSA key ({error}): give the PEM of the public half."
        ) from error


@dataclass(frozen=True, slots=True)
class Keyring:
    """Every key of the account, so that one can be taken away without the other."""

    keys: tuple[Key, ...]

    @property
    def api_key(self) -> str:
        """The first key's name."""
        return self.keys[0].api_key

    def check_request(self, headers: Mapping[str, str], payload: bytes, now_ms: int) -> None:
        """Raise Refused unless the key that the request names signed it, see ``Key``."""
        named = headers.get("x-bapi-api-key", "")
        key = next((k for k in self.keys if k.api_key == named), self.keys[0])
        key.check_request(headers, payload, now_ms)

    def check_socket(self, args: object, now_ms: int) -> bool:
        """Return whether ``[key, expires, signature]`` of any key opens the private stream."""
        return any(key.check_socket(args, now_ms) for key in self.keys)


class RateLimits:
    """One account's requests per endpoint in the last second of wall time."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[int]] = {}

    def take(self, name: str, limit: int, now_ms: int) -> tuple[bool, dict[str, str]]:
        """Count one request; return whether it is admitted, and the headers that say so."""
        seen = self._seen.setdefault(name, deque())
        while seen and seen[0] <= now_ms - SECOND_MS:
            seen.popleft()
        admitted = len(seen) < limit
        if admitted:
            seen.append(now_ms)
        reset = now_ms if admitted else seen[0] + SECOND_MS
        return admitted, {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(limit - len(seen)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset + RESET_MARGIN_MS),
        }


class AddressLimits:
    """Requests of each address: 600 in any five seconds, then none for ``ban_seconds`` (wall).

    Source: Bybit V5, rate limits: HTTP 403, "access too frequent", for ten minutes.
    """

    def __init__(self, ban_seconds: float = 600.0) -> None:
        self._ban_ms = int(ban_seconds * 1000)
        self._seen: dict[str, deque[int]] = {}
        self._banned: dict[str, int] = {}

    def admit(self, address: str, now_ms: int) -> bool:
        """Count one request and return whether it may be answered."""
        if now_ms < self._banned.get(address, 0):
            return False
        seen = self._seen.setdefault(address, deque())
        while seen and seen[0] <= now_ms - ADDRESS_SPAN_MS:
            seen.popleft()
        seen.append(now_ms)
        if len(seen) > ADDRESS_REQUESTS:
            self._banned[address] = now_ms + self._ban_ms
            seen.clear()
            return False
        return True
