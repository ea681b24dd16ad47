"""From a request to a message in Redis: the road of everything that is enqueued by HTTP.

No user code is imported here: messages are built from data alone, and checked against what the workers published.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core.backoff import settings2backoff
from alsek.core.bulk import PATIENCE_S
from alsek.core.callback import fold
from alsek.core.ids import made_at, new_uuid
from alsek.core.message import Message
from alsek.core.mould import Mould
from alsek.defaults import DEFAULT_QUEUE, DEFAULT_TASK_TIMEOUT, MAX_DURATION_MS
from alsek.exceptions import AlsekError, ValidationError
from alsek.storage.backends.redis.acceptance import Acceptance, Arrival, Once
from alsek_api.lookup import LONG_MS
from alsek_api.problems import Problem
from alsek_api.schemas.enqueue import CallbackRequest, EnqueueRequest, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.async_link import AsyncRoute
    from alsek.storage.keys import Keys
    from alsek_api.auth.keys import Principal
    from alsek_api.registry import Registry
    from alsek_api.settings import ApiSettings

#: How long a request with an Idempotency-Key is remembered, ms.
KEPT_ONCE_MS: Final = 86_400_000


class Prepared(NamedTuple):
    """A message that can be stored.

    Attributes:
        message: As it will be.
        arrival: As it travels.
        warnings: What looks wrong about its arguments.
    """

    message: Message
    arrival: Arrival
    warnings: list[str]


class Incoming:
    """Builds messages from requests, and stores them.

    Args:
        broker: Where they go.
        settings: See `ApiSettings`.
        registry: What the workers know.
    """

    def __init__(self, broker: Broker, settings: ApiSettings, registry: Registry) -> None:
        self._broker = broker
        self._keys: Keys = broker.keys
        self._settings = settings
        self._registry = registry
        self.verbs = Acceptance(broker.keys, broker)

    def prepare(
        self, asked: EnqueueRequest, principal: Principal, uuid_of: Callable[[int | None], str] | None = None
    ) -> Prepared:
        """Make a message of a request.

        Args:
            asked: The request.
            principal: Who asks.
            uuid_of: Gives the next uuid, in a partition if one is named.

        Raises:
            Problem: 403: the key is not good for this queue or task; 422: wrong arguments.
            ValidationError: A value breaks a rule.
        """
        give = uuid_of or self.new_uuid
        warnings: list[str] = []
        callback = None
        delay_ms = 0
        if asked.callbacks:
            queue = self._queue_of(asked, DEFAULT_QUEUE)
            first = self._message(asked.callbacks[0], principal, give(None), warnings, queue)
            home = self._keys.partition(first.uuid)
            rest = [self._message(one, principal, give(home), warnings, queue) for one in asked.callbacks[1:]]
            delay_ms = sum(one.delay for one in (first, *rest))
            callback = fold([first, *rest])
        uuid = give(None if callback is None else self._keys.partition(callback.uuid))
        message = self._message(asked, principal, uuid, warnings, DEFAULT_QUEUE, callback)
        if asked.run_at is not None:
            due = moment_of(asked.run_at)
            assert due is not None
            message.delay = min(max(0, due - message.created_at), MAX_DURATION_MS)
        kept_ms = self._settings.kept_status_ms
        new = self._broker.new_message(message, asked.ttl_ms, kept_ms)
        ticket_ms = kept_ms + message.delay + delay_ms + (LONG_MS if asked.ttl_ms is None else asked.ttl_ms)
        return Prepared(message, Arrival(*new, min(ticket_ms, MAX_DURATION_MS), _tickets(message)), warnings)

    async def store(self, prepared: Prepared) -> None:
        """Store a message, together with others of this turn of the loop.

        Raises:
            BackendUnavailableError: Redis did not answer; `ambiguous` tells if it may be stored.
            BackendFullError: Redis has no memory left.
        """
        arrival, queue = prepared.arrival, prepared.message.queue
        await self.link.submit(
            self.verbs, self._keys.partition(arrival.uuid), queue, arrival, patience=PATIENCE_S  # type: ignore[arg-type]  # a new message, and more
        )  # fmt: skip

    async def store_once(self, prepared: Prepared, once: Once) -> str | None:
        """Store a message unless its request came before.

        Returns:
            What the request was answered then; `None` when it is new.

        Raises:
            Problem: 422: the same key came with another body.
            BackendUnavailableError, BackendFullError: As in `store`.
        """
        arrival, queue = prepared.arrival, prepared.message.queue
        call = self.verbs.once(self._keys.partition(arrival.uuid), queue, arrival, once)
        reply = await self.link.execute(call, patience=PATIENCE_S)
        return read_once(reply)

    def check(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
        """Say what looks wrong about the arguments of a message, as far as the service is told to look.

        Raises:
            Problem: 422, where it is told to refuse.
        """
        if self._settings.check_arguments == "off":
            return []
        return self._registry.check(task, args, kwargs, enforce=self._settings.check_arguments == "enforce")

    def mould(self, message: Message) -> Mould:
        """Give what makes bodies like that of a message, with other arguments."""
        return Mould(message.twin(message.uuid, (), {}), self._broker.backend.serializer, self.max_bytes)

    @property
    def max_bytes(self) -> int:
        """Largest body of a message."""
        return self._broker.max_message_bytes

    def new_uuid(self, partition: int | None = None) -> str:
        """Give a new uuid, in a partition if one is named."""
        uuid = new_uuid()
        while partition is not None and self._keys.partition(uuid) != partition:
            uuid = new_uuid()
        return uuid

    def partition_of(self, uuid: str) -> int:
        """Give the partition of a uuid."""
        return self._keys.partition(uuid)

    @property
    def link(self) -> AsyncRoute:
        """The link of the running event loop."""
        return self._broker.redis.async_link

    def _queue_of(self, asked: CallbackRequest, default: str) -> str:
        """The one that was asked for, that of the task, or that of the message before."""
        known = self._registry.find(asked.task)
        queue: str = asked.queue or (known.queue if known is not None else default)
        return queue

    def _message(
        self,
        asked: CallbackRequest,
        principal: Principal,
        uuid: str,
        warnings: list[str],
        queue: str,
        callback: Message | None = None,
    ) -> Message:
        known = self._registry.find(asked.task)
        made = made_at(uuid)
        message = Message(
            asked.task,
            self._queue_of(asked, queue),
            asked.args,
            asked.kwargs,
            asked.priority,
            asked.metadata,
            result_ttl=asked.result_ttl_ms,
            uuid=uuid,
            timeout=asked.timeout_ms or (known.timeout if known is not None else DEFAULT_TASK_TIMEOUT),
            created_at=made,
            updated_at=made,
            delay=asked.delay_ms,
            callback_message_data=callback.data if callback is not None else None,
            backoff_settings=_backoff(asked),
        )
        if not principal.sees(message.queue, message.task_name):
            raise Problem(
                403, f"This key is not good for task {message.task_name} in queue {message.queue}.", kind="forbidden"
            )
        warnings += self.check(message.task_name, message.args, message.kwargs)
        return message


def once_of(principal: Principal, route: str, key: str, body: bytes, answer: str = "") -> Once:
    """Give what makes a request be carried out once.

    Args:
        principal: Whose key; the same Idempotency-Key of another is another.
        route: What was asked.
        key: The header.
        body: What was sent.
        answer: What it is answered.

    Raises:
        Problem: 400: that is no Idempotency-Key.
    """
    key = key.strip()
    if not 0 < len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Problem(400, "An Idempotency-Key has 1 to 255 printable ASCII characters.", kind="malformed")
    digest = sha256(f"{principal.id}\0{route}\0{key}".encode()).hexdigest()
    return Once(digest, sha256(body).hexdigest(), answer, KEPT_ONCE_MS)


def read_once(reply: Any) -> str | None:
    """Read what a request is answered that may have come before.

    Raises:
        Problem: 422: the same key came with another body.
    """
    if reply[0] == -4:
        raise Problem(
            422, "This Idempotency-Key was used for another request; use a new one for each.", kind="key-reused"
        )
    return reply[1].decode() if reply[0] == 3 else None


def problem_of(error: Exception) -> Problem:
    """Give the problem that stands for what is wrong with a message.

    Raises:
        Exception: The same, when it is not the sender's mistake.
    """
    from alsek_api.problems import of_alsek

    if isinstance(error, Problem):
        return error
    if isinstance(error, AlsekError):
        return of_alsek(error)
    raise error


def _backoff(asked: CallbackRequest) -> Any:
    if asked.backoff is None:
        return None
    settings: Any = {"algorithm": asked.backoff.algorithm, "parameters": asked.backoff.parameters}
    try:
        backoff = settings2backoff(settings)
        for failures in (0, 1, 10):
            backoff.get(failures)
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ValidationError(f"backoff: {settings['algorithm']} cannot be made of these parameters: {error}") from None
    return backoff.settings


def _tickets(message: Message) -> tuple[tuple[str, str], ...]:
    """What is remembered of a message and its callbacks: queue, task, the first of the chain, the one before."""
    tickets = [(message.uuid, f"{message.queue} {message.task_name}")]
    data, before = message.callback_message_data, message.uuid
    while data:
        tickets.append((data["uuid"], f"{data['queue']} {data['task_name']} {message.uuid} {before}"))
        before, data = data["uuid"], data.get("callback_message_data")
    return tuple(tickets)
