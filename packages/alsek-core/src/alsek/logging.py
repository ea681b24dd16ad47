"""How Alsek logs: events with facts, on the standard library's loggers, configured by whoever runs the program.

`get_logger` returns what structlog's `filter_by_level` and `render_to_log_kwargs` would make of a standard logger: the
event is the record's message, the facts are its extra attributes. It does so without structlog, whose import takes
12 MB, a quarter of what a worker process may weigh; only the JSON format loads it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import MutableMapping

#: Upstream's line: date, milliseconds, process, thread, level, logger, text.
LOGGING_FORMAT = "[%(asctime)s.%(msecs)03d] [%(processName)s] [%(threadName)s] [%(levelname)s] %(name)s: %(message)s"
LOGGING_DATEFMT = "%Y-%m-%d %H:%M:%S"

LogFormat = Literal["console", "json"]


class RunningMessage(Protocol):
    """What the log wants to know of the message that runs."""

    @property
    def uuid(self) -> str:
        """Its id."""

    @property
    def task_name(self) -> str:
        """Its task."""

    @property
    def queue(self) -> str:
        """Its queue."""

    @property
    def retries(self) -> int:
        """Attempts before this one."""


#: The message that runs in this thread or coroutine; whoever executes tasks sets and resets it.
current_message: ContextVar[RunningMessage | None] = ContextVar("alsek_current_message", default=None)


def get_logger(name: str) -> EventLogger:
    """Return a logger of events: `log.info("lease.lost", uuid=…)`."""
    return EventLogger(logging.getLogger(name))


def current_message_fields() -> dict[str, Any]:
    """Return uuid, task, queue and attempt (from 1) of the message that runs here; empty when none does."""
    message = current_message.get()
    if message is None:
        return {}
    return {
        "message_uuid": message.uuid,
        "task": message.task_name,
        "queue": message.queue,
        "attempt": message.retries + 1,
    }


def add_message_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the fields of the running message to a structlog event: a processor for the user's own configuration."""
    for key, value in current_message_fields().items():
        event.setdefault(key, value)
    return event


class MessageFields(logging.Filter):
    """Add the fields of the running message to every record; lets all pass. Belongs on a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the record does not have yet."""
        for key, value in current_message_fields().items():
            if key not in record.__dict__:
                record.__dict__[key] = value
        return True


class EventLogger:
    """A logger whose calls take an event and its facts; facts become attributes of the record."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    @property
    def name(self) -> str:
        """Name of the standard logger behind it."""
        return self._logger.name

    def enabled(self, level: int) -> bool:
        """Whether anybody would see a record of this level."""
        return self._logger.isEnabledFor(level)

    def debug(self, event: str, **facts: Any) -> None:
        """Log for who looks for a mistake."""
        self._log(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        """Log what happens in the life of the process."""
        self._log(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        """Log what is odd and went on all the same."""
        self._log(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Any) -> None:
        """Log what a human should act on."""
        self._log(logging.ERROR, event, facts)

    def critical(self, event: str, **facts: Any) -> None:
        """Log what a human should act on at once."""
        self._log(logging.CRITICAL, event, facts)

    def exception(self, event: str, **facts: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._log(logging.ERROR, event, {"exc_info": True, **facts})

    def _log(self, level: int, event: str, facts: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            exc_info = facts.pop("exc_info", None)
            # The standard library refuses facts named like attributes of its own.
            extra = {f"{key}_" if key in _RESERVED else key: value for key, value in facts.items()}
            self._logger.log(level, event, exc_info=exc_info, extra=extra, stacklevel=3)


def setup_logging(level: int | str, fmt: LogFormat = "console", *, root: bool = False) -> None:
    """Give the logger "alsek" exactly one handler, which writes to stderr.

    Args:
        level: A level of the standard library, or its name in any case.
        fmt: `console` for upstream's line of text, `json` for one object per line (needs structlog).
        root: Show what all other loggers say too, with the fields of the running message; a worker wants this.
    """
    level = level.upper() if isinstance(level, str) else level
    formatter: logging.Formatter = json_formatter() if fmt == "json" else ConsoleFormatter()
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(MessageFields())
    _hand_over(logging.getLogger("alsek"), handler, level)
    logging.getLogger("alsek").propagate = False
    if root:
        _hand_over(logging.getLogger(), handler, level)


class ConsoleFormatter(logging.Formatter):
    """Upstream's line, then the facts of an event; for records of user code, the message that ran."""

    def __init__(self) -> None:
        super().__init__(LOGGING_FORMAT, LOGGING_DATEFMT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Append the facts to the line, before any traceback."""
        ours = record.name == "alsek" or record.name.startswith("alsek.")
        facts = (
            f" {key}={value}"
            for key, value in record.__dict__.items()
            if key not in _RESERVED and not (ours and key in _MESSAGE_FIELDS)
        )
        return super().formatMessage(record) + "".join(facts)


def json_formatter() -> logging.Formatter:
    """Return a formatter that writes one JSON object per line.

    It is made of structlog's parts, which take some 70 µs a line; what holds nothing special is written in a quarter of
    that, with the same fields in the same order.
    """
    import msgspec
    import structlog

    encode = msgspec.json.Encoder().encode

    class Lines(structlog.stdlib.ProcessorFormatter):
        def format(self, record: logging.LogRecord) -> str:
            event = {key: value for key, value in record.__dict__.items() if key not in _RESERVED}
            if record.exc_info or record.stack_info or not _PLAIN.issuperset(map(type, event.values())):
                return super().format(record)
            event["level"] = record.levelname.lower()
            event["logger"] = record.name
            event["timestamp"] = (
                datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")[:26] + "Z"
            )
            event["message"] = record.getMessage()
            try:
                return encode(event).decode()
            except (ValueError, OverflowError):  # half of a surrogate pair, an endless integer
                return super().format(record)

    return Lines(
        foreign_pre_chain=[
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def _hand_over(logger: logging.Logger, handler: logging.Handler, level: int | str) -> None:
    """Make it the only handler of the logger."""
    for former in logger.handlers[:]:
        logger.removeHandler(former)
    logger.addHandler(handler)
    logger.setLevel(level)


#: Facts of these types are JSON as they are.
_PLAIN = frozenset({str, int, float, bool, type(None)})

_MESSAGE_FIELDS = frozenset({"message_uuid", "task", "queue", "attempt"})

#: What every record has; `message` and `asctime` are added when it is formatted, `taskName` from Python 3.12 on.
_RESERVED = frozenset(
    {*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "asctime", "taskName", "_record"}
)
