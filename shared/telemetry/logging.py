"""JSON lines on standard error: constant event names, data in keys, no secrets.

Call ``configure_logging`` once in ``main``; everywhere else ``structlog.get_logger()`` and
``structlog.contextvars.bound_contextvars(correlation_id=..., symbol=...)``.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN: Final = "[hidden]"
SECRET_KEY: Final = re.compile(
    r"(secret|password|passwd|api_?key|token|authori[sz]ation|cookie|signature|headers|dsn)", re.I
)
URL_PASSWORD: Final = re.compile(r"(://[^\s:/@]*:)[^\s@]+@")
SHORTEST_SECRET: Final = 6
DEEPEST: Final = 6


def configure_logging(
    service: str,
    *,
    level: str = "INFO",
    stream: TextIO | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Send our logs and those of the libraries to ``stream`` (standard error), one object a line.

    ``secrets`` are values that are blotted out wherever they turn up in a line, besides every key
    whose name says that it holds one.
    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _service_bound(service),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        SecretsHidden(secrets),
    ]
    render = structlog.processors.JSONRenderer(serializer=_as_json)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    _route_libraries(shared, render, out)


class SecretsHidden:
    """A processor that replaces secret values by ``[hidden]`` at any depth."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A short value would blot out half of every line; real secrets are longer than this.
        self._values = sorted(
            {value for value in secrets if len(value) >= SHORTEST_SECRET}, key=len, reverse=True
        )

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: self._clean(key, value, 0) for key, value in event.items()}

    def _clean(self, key: str, value: Any, depth: int) -> Any:
        if value is not None and SECRET_KEY.search(key):
            return HIDDEN
        if isinstance(value, str):
            return self._blotted(value)
        if depth < DEEPEST and isinstance(value, Mapping):
            return {str(k): self._clean(str(k), v, depth + 1) for k, v in value.items()}
        if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._clean("", item, depth + 1) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._blotted(str(value))

    def _blotted(self, text: str) -> str:
        for secret in self._values:
            text = text.replace(secret, HIDDEN)
        return URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)


def _service_bound(service: str) -> Processor:
    def bind(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return bind


def _as_json(event: EventDict, **_: Any) -> str:
    return json.dumps(event, default=str, ensure_ascii=False, separators=(",", ":"))


def _route_libraries(shared: list[Processor], render: Processor, out: TextIO) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    # Libraries tell their progress at INFO; a service's own facts should not drown in it.
    root.setLevel(logging.WARNING)
