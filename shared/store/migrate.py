"""The schema of a database: made, checked and claimed for one venue and account.

Alembic writes the SQL and asyncpg runs it, in one transaction behind one lock, so that two
services starting together migrate once and a failed migration leaves nothing behind.
"""

import asyncio
import base64
import hashlib
import hmac
import io
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from alembic import command
from alembic.config import Config

from shared.domain.errors import Misconfigured

EXPECTED_VERSION: Final = "0007"
MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"
ROLES: Final = (
    "carry_collector",
    "carry_strategy",
    "carry_executor",
    "carry_commander",
    "carry_backtest",
    "carry_reader",
    "carry_watchdog",
)
LOCK_KEY: Final = 0x6361727279  # "carry"; any fixed number of our own
SCRAM_ITERATIONS: Final = 4096


async def migrate(owner_dsn: str) -> None:
    """Bring the database to the newest version; does nothing when it is there already.

    Raises: Misconfigured when the database is newer than this release.
    """
    connection = await asyncpg.connect(owner_dsn, command_timeout=300)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
            await connection.execute("SET LOCAL search_path = public")
            found = await _version(connection)
            if found is not None and found > EXPECTED_VERSION:
                raise Misconfigured(_wrong_version(found))
            if found != EXPECTED_VERSION:
                await connection.execute(await asyncio.to_thread(_upgrade_sql, found))
    finally:
        await connection.close()


async def check_schema(connection: Any) -> None:
    """Raise Misconfigured unless the database has the version that this code expects."""
    found = await _version(connection)
    if found != EXPECTED_VERSION:
        raise Misconfigured(_wrong_version(found))


async def check_durability(connection: Any) -> None:
    """Raise Misconfigured when the server may lose what it acknowledged (S6)."""
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        value = await connection.fetchval("SELECT current_setting($1)", setting)
        if value == "off":
            raise Misconfigured(
                f"the database runs with {setting} off and may lose acknowledged orders: "
                f"set {setting} = on in its configuration"
            )


async def set_passwords(owner_dsn: str, passwords: Mapping[str, str]) -> None:
    """Set the password of each role; only SCRAM verifiers reach the server and its log."""
    if unknown := sorted(set(passwords) - set(ROLES)):
        raise Misconfigured(f"these are no roles of ours: {', '.join(unknown)}")
    connection = await asyncpg.connect(owner_dsn)
    try:
        for role, password in passwords.items():
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}'")
    finally:
        await connection.close()


async def claim_installation(connection: Any, venue: str, account: str, now: datetime) -> int:
    """Return the installation's epoch; the first service to come makes it, in seconds of ``now``.

    Raises: Misconfigured when the database belongs to another venue or account.
    """
    row = await connection.fetchrow(_SELECT_INSTALLATION)
    if row is None:
        await connection.execute(_INSERT_INSTALLATION, venue, account, int(now.timestamp()), now)
        row = await connection.fetchrow(_SELECT_INSTALLATION)
    if (row["venue"], row["account"]) != (venue, account):
        raise Misconfigured(
            f"this database belongs to venue {row['venue']!r}, account {row['account']!r}, not to "
            f"venue {venue!r}, account {account!r}: use a database of its own for each"
        )
    return int(row["epoch"])


def role_dsn(owner_dsn: str, role: str, password: str) -> str:
    """Return ``owner_dsn`` with another user and password."""
    parts = urlsplit(owner_dsn)
    host = parts.netloc.rpartition("@")[2]
    user = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))


def scram_verifier(password: str) -> str:
    """Return what PostgreSQL stores for ``password``. Source: RFC 5802, RFC 7677.

    Raises: Misconfigured for a password outside printable ASCII, which would need SASLprep.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise Misconfigured("a database password must be printable ASCII and not empty")
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt_text}${stored_text}:{server_text}"


_SELECT_INSTALLATION: Final = "SELECT venue, account, epoch FROM ops.installation"
_INSERT_INSTALLATION: Final = """
    INSERT INTO ops.installation ("only", venue, account, epoch, created_at)
    VALUES (true, $1, $2, $3, $4) ON CONFLICT ("only") DO NOTHING"""


async def _version(connection: Any) -> str | None:
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM public.alembic_version")
    return found


def _wrong_version(found: str | None) -> str:
    state = "has no schema yet" if found is None else f"has schema version {found}"
    newer = found is not None and found > EXPECTED_VERSION
    remedy = "install the newer release" if newer else "run `carry db migrate`"
    return f"the database {state} and this release needs {EXPECTED_VERSION}: {remedy}"


def _upgrade_sql(found: str | None, target: str = "head") -> str:
    if not (MIGRATIONS / "env.py").is_file():
        raise Misconfigured(f"no migrations beside the code (looked in {MIGRATIONS})")
    buffer = io.StringIO()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["buffer"] = buffer
    command.upgrade(config, target if found is None else f"{found}:{target}", sql=True)
    return buffer.getvalue()
