"""Named points between two durable steps: where a test ends the process, or makes it fail.

Source: RELIABILITY 2.2, crash points every order must survive.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from shared.domain.errors import Misconfigured

EXIT_CODE: Final = 70


class CrashPoint(StrEnum):
    """Between what and what the process may end; the number is the paper's."""

    DECIDED = "cp0"  # decision made, intent transaction not begun
    INTENT_STORING = "cp1"  # inside the intent's transaction
    INTENT_STORED = "cp2"  # committed, not relayed
    RELAYED = "cp3"  # in Redis, and the relay does not know it yet
    INTENT_READ = "cp4"  # read by the executor, nothing claimed
    CLAIMED = "cp5"  # claimed and signed, no byte sent
    SENDING = "cp6"  # the request is on its way
    ANSWERED = "cp7"  # the reply is here, nothing was done with it
    ANSWER_STORING = "cp8"  # inside the transaction that stores the reply
    ANSWER_STORED = "cp9"  # the reply is stored
    LIVE = "cp10"  # accepted and stored, no fill seen
    FILL_RECEIVED = "cp11"  # a fill is here, not stored
    FILL_STORING = "cp12"  # inside the fill's transaction
    FILL_STORED = "cp13"  # committed, memory does not know it
    HEDGE_WANTED = "cp14"  # the first leg is stored, the second not claimed
    HEDGE_CLAIMED = "cp15"  # the second leg is claimed, not sent
    CANCEL_SENT = "cp16"  # a cancel is sent, nothing confirmed
    UNWIND_WANTED = "cp17"  # the unwind is decided, not claimed
    KILL_SEEN = "cp18"  # a kill is read, nothing done about it
    REPAIR_STORING = "cp19"  # inside the transaction of a repair
    LEASE_TAKEN = "cp20"  # the lease is ours, nothing sent


Hook = Callable[[CrashPoint], None]

_hook: Hook | None = None


def reached(point: CrashPoint) -> None:
    """Say that ``point`` was reached; nothing happens unless a hook was set."""
    if _hook is not None:
        _hook(point)


def on_reached(hook: Hook | None) -> None:
    """Call ``hook`` at every point of this process from now on; None ends that."""
    global _hook
    _hook = hook


def dies_at(text: str) -> Hook:
    """Return a hook that ends the process at once at ``cp5``, or ``cp5:2`` for the second time.

    ``cp5:2:stop`` stops it there as SIGSTOP does, until it is told to go on.

    Raises: Misconfigured for what is no crash point.
    """
    name, times, how = (*text.split(":"), "", "")[:3]
    try:
        if how not in ("", "stop"):
            raise ValueError(how)
        wanted, number = CrashPoint(name), int(times or 1)
    except ValueError:
        raise Misconfigured(
            f"CARRY_CRASH_AT = {text} is no crash point; write cp0 to cp20, or cp5:2."
        ) from None
    counts: Counter[CrashPoint] = Counter()

    def die(point: CrashPoint) -> None:
        counts[point] += 1
        if point is wanted and counts[point] == number:
            if how:
                os.kill(os.getpid(), signal.SIGSTOP)
            else:
                os._exit(EXIT_CODE)

    return die
