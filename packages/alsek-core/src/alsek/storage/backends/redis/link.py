"""Dedicated connections for the verbs: driven directly, several scripts in one write, no ambiguous repeats.

redis-py brings the connection (TLS, ACL, Sentinel are its trade); its own retries are off, because a verb that is
repeated must say so (`Call.again`). What is repeated here is safe to repeat: submit by uuid, claim by token,
the others by lease.
"""

from __future__ import annotations

import time
from collections import deque
from random import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import hiredis
from redis import exceptions as redis_errors

from alsek.exceptions import AlsekError, BackendDataError, BackendUnavailableError
from alsek.storage.backends.redis.errors import is_missing_script, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from alsek.storage.backends.redis.scripts import Script

Argument = str | bytes | int | float
Command = tuple[Argument, ...]

#: First and longest pause between two attempts to reach Redis, seconds; the pause is drawn from [0, bound)
#: (full jitter, AWS Architecture Blog, 2015).
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Call(NamedTuple):
    """One verb to be run: a script with its keys and arguments.

    Attributes:
        again: Index of the argument that is set to "1" when the call is repeated after a lost reply; -1: none.
    """

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]
    again: int = -1

    def packed(self, *, again: bool = False) -> bytes:
        """Give the bytes that go over the wire."""
        args = self.repeated().args if again else self.args
        return pack(("EVALSHA", self.script.digest, len(self.keys), *self.keys, *args))

    def repeated(self) -> Call:
        """Give the call as it is sent when an earlier one may have run."""
        if self.again < 0:
            return self
        return self._replace(args=[*self.args[: self.again], "1", *self.args[self.again + 1 :]])


class Route(Protocol):
    """A way to where keys live: a `Link`, or a `ClusterLink` over many of them; for one thread at a time."""

    def execute(self, calls: Sequence[Call], *, patience: float = 0.0) -> list[Any]:
        """Run calls, and give their replies in order; see `Link.execute`."""

    def stream(self, calls: Iterable[Call], *, patience: float = 0.0) -> Iterator[Any]:
        """Run calls in order, and give their replies; see `Link.stream`."""

    def command(self, *args: Argument) -> Any:
        """Run one plain command without any repeat."""

    def ask(self, commands: Sequence[Command], *, key: str | None = None) -> list[Any]:
        """Run plain commands in as few writes as possible; see `Link.ask`."""

    def nodes(self) -> list[Route]:
        """Give a way to each primary: what a scan has to visit."""

    def close(self) -> None:
        """Drop the connections; the next call makes new ones."""


class Link:
    """One connection, used by one thread at a time.

    Args:
        connect: Makes an unconnected redis-py connection with its retries off.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        # redis-py's connections are not typed.
        self._connection: Any = None

    def execute(self, calls: Sequence[Call], *, patience: float = 0.0) -> list[Any]:
        """Run calls in one write and give their replies in order.

        Args:
            calls: Independent of each other: one may have to be repeated although the next has run.
            patience: Seconds for which an unreachable Redis is tried again.

        Raises:
            BackendUnavailableError: Redis did not answer in time; `ambiguous` says if a call may have run.
            AlsekError: Any other row of the table in `errors`.
        """
        replies: list[Any] = [None] * len(calls)
        open_calls = list(range(len(calls)))
        again = False
        pause = _FIRST_PAUSE
        end = time.monotonic() + patience
        while True:
            try:
                self._attempt(calls, open_calls, replies, again)
                return replies
            except BackendUnavailableError as error:
                again = again or error.ambiguous
                left = end - time.monotonic()
                if left <= 0:
                    error.ambiguous = again
                    raise
                time.sleep(min(left, random() * pause))  # noqa: S311  (jitter, not a secret)
                pause = min(_LONGEST_PAUSE, pause * 2)

    def stream(self, calls: Iterable[Call], *, patience: float = 0.0) -> Iterator[Any]:
        """Run calls in order and give their replies; the next is made while Redis works on the last.

        Args:
            calls: Taken one ahead of the replies.
            patience: Seconds for which an unreachable Redis is tried again, for each call.

        Raises:
            AlsekError: As `execute`.
        """
        sent: deque[Call] = deque()
        try:
            yield from self._stream(calls, sent, patience)
        finally:
            if sent:  # somebody left in the middle: the next one must not read replies that are not its own
                self.close()

    def _stream(self, calls: Iterable[Call], sent: deque[Call], patience: float) -> Iterator[Any]:
        known: set[bytes] = set()
        for call in calls:
            if call.script.digest not in known:  # the first of its kind may have to be loaded
                yield from self._read_sent(sent, patience)
                yield self.execute([call], patience=patience)[0]
                known.add(call.script.digest)
                continue
            try:
                self._ready().send_packed_command([call.packed()], check_health=False)
            except (redis_errors.RedisError, OSError, BackendUnavailableError):
                self.close()
            sent.append(call)
            if len(sent) > 1:
                yield self._read_sent_one(sent, patience)
        yield from self._read_sent(sent, patience)

    def command(self, *args: Argument) -> Any:
        """Run one plain command without any repeat."""
        connection = self._ready()
        sent = False
        try:
            connection.send_packed_command([pack(args)], check_health=False)
            sent = True
            return connection.read_response(disable_decoding=True)
        except (redis_errors.RedisError, OSError) as error:
            raise self._failure(error, sent=sent) from error

    def ask(self, commands: Sequence[Command], *, key: str | None = None) -> list[Any]:  # noqa: ARG002  (all is here)
        """Run plain commands in one write, without any repeat.

        Args:
            commands: On a cluster, each of keys in one slot.
            key: Where all of them go, as if they had this key: for a transaction.

        Returns:
            The replies in order; a `BackendDataError` stands in the place of what a command met and could not use.

        Raises:
            AlsekError: Any other row of the table in `errors`.
        """
        self.post(b"".join([pack(command) for command in commands]))
        replies = [self.collect() for _ in commands]
        for i, reply in enumerate(replies):
            if isinstance(reply, redis_errors.RedisError):
                replies[i] = failure = self._failure(reply, sent=True)
                failure.__cause__ = reply
                if not isinstance(failure, BackendDataError):
                    raise failure
        return replies

    def nodes(self) -> list[Route]:
        """Give a way to each primary: this is the only one."""
        return [self]

    def send(self, *args: Argument, then: Call | None = None) -> None:
        """Send one plain command whose reply is read later, by `receive`.

        Args:
            args: The command.
            then: A verb that Redis runs as soon as the command has ended; its reply is read by `receive_call`.
        """
        self.post(pack(args) if then is None else pack(args) + then.packed())

    def post(self, packed: bytes) -> None:
        """Send commands whose replies are read later, by `receive` or `collect`."""
        connection = self._ready()
        try:
            connection.send_packed_command([packed], check_health=False)
        except (redis_errors.RedisError, OSError) as error:
            raise self._failure(error, sent=True) from error

    def receive(self, timeout: float | None = None) -> Any:
        """Read the reply of what `send` sent.

        Args:
            timeout: Seconds; `None`: the connection's own.
        """
        connection = self._connection or self._ready()
        try:
            if timeout is None:
                return connection.read_response(disable_decoding=True)
            return connection.read_response(disable_decoding=True, timeout=timeout)
        except (redis_errors.RedisError, OSError) as error:
            raise self._failure(error, sent=True) from error

    def collect(self) -> Any:
        """Read one of several replies; an error reply is a value, as the next one is of interest all the same."""
        try:
            return (self._connection or self._ready()).read_response(disable_decoding=True)
        except redis_errors.ResponseError as error:
            return error
        except (redis_errors.RedisError, OSError) as error:
            raise self._failure(error, sent=True) from error

    def receive_call(self, timeout: float) -> Any:
        """Read the reply of the verb that `send` sent after its command.

        Args:
            timeout: Seconds.

        Returns:
            The reply; `None` when Redis did not know the script, and ran nothing.
        """
        try:
            return self.receive(timeout)
        except AlsekError as error:
            if isinstance(error.__cause__, Exception) and is_missing_script(error.__cause__):
                return None
            raise

    def fileno(self) -> int:
        """Give the socket's descriptor, for a poll; connects when needed."""
        sock = (self._connection or self._ready())._get_socket()  # noqa: SLF001  the public face of redis-py has no other way to a descriptor
        if sock is None:
            raise BackendUnavailableError("Redis did not answer: the connection is closed")
        return int(sock.fileno())

    @property
    def connected(self) -> bool:
        """Tell whether a connection stands."""
        return self._connection is not None

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _read_sent(self, sent: deque[Call], patience: float) -> Iterator[Any]:
        while sent:
            yield self._read_sent_one(sent, patience)

    def _read_sent_one(self, sent: deque[Call], patience: float) -> Any:
        # A lost connection takes all outstanding replies with it: each call is then repeated, as a repeat.
        call = sent.popleft()
        if self._connection is None:
            return self.execute([call.repeated()], patience=patience)[0]
        try:
            return self._connection.read_response(disable_decoding=True)
        except redis_errors.ResponseError as error:
            failure = translate(error, sent=True)
            self.close()
            if not isinstance(failure, BackendUnavailableError) and not is_missing_script(error):
                raise failure from error
        except (redis_errors.RedisError, OSError):
            self.close()
        return self.execute([call.repeated()], patience=patience)[0]

    def _ready(self) -> Any:
        connection = self._connection
        if connection is None:
            connection = self._connect()
            try:
                connection.connect()
            except (redis_errors.RedisError, OSError) as error:
                connection.disconnect()
                raise translate(error, sent=False) from error
            self._connection = connection
        return connection

    def _failure(self, error: redis_errors.RedisError | OSError, *, sent: bool) -> AlsekError:
        # After an error reply the connection is fine, unless whoever answers is not the one to ask.
        failure = translate(error, sent=sent)
        if isinstance(failure, BackendUnavailableError) or not isinstance(error, redis_errors.ResponseError):
            self.close()
        return failure

    def _attempt(self, calls: Sequence[Call], pending: list[int], replies: list[Any], again: bool) -> None:
        # Leaves in `pending` what has no reply yet, so that only that is repeated.
        while pending:
            connection = self._ready()
            unknown: list[int] = []
            failure: AlsekError | None = None
            buffer = b"".join([calls[index].packed(again=again) for index in pending])
            batch = tuple(pending)
            try:
                connection.send_packed_command([buffer], check_health=False)
                for index in batch:
                    try:
                        replies[index] = connection.read_response(disable_decoding=True)
                    except redis_errors.ResponseError as error:
                        if is_missing_script(error):
                            unknown.append(index)
                            continue
                        failure = translate(error, sent=True)
                        if isinstance(failure, BackendUnavailableError):
                            unknown.append(index)
                            continue
                        failure.__cause__ = error
                    pending.remove(index)
            except (redis_errors.RedisError, OSError) as error:
                self.close()
                raise translate(error, sent=True) from error
            if failure is not None:
                if isinstance(failure, BackendUnavailableError):
                    self.close()
                raise failure
            for source in {calls[index].script.source for index in unknown}:
                self.command("SCRIPT", "LOAD", source)


def pack(command: tuple[Argument, ...]) -> bytes:
    """Give the bytes of a plain command."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows one-tuples only
    return packed
