"""The connection behind a subscriber: who reads it, what is asked of it, and how it is replaced when it breaks."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Any, Final

import hiredis
from redis import exceptions as redis_errors

from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.errors import translate
from alsek.storage.backends.redis.listener import LOOK, Event, Listener, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.connection import Connection

#: Pauses between attempts to reach Redis, seconds: full jitter, as in `link`.
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0


class Hub:
    """The connection and who wants what of it. Only the leader touches the connection; the lock guards the rest."""

    def __init__(self, connect: Callable[[], Connection], check_s: float) -> None:
        self.pid = os.getpid()
        self._connect = connect
        self._check_s = check_s
        self._connection: Any = None
        self._error: BackendUnavailableError | None = None
        self._asked = False
        self.stand = 0
        self._pause = _FIRST_PAUSE_S
        # Reentrant: a listener may be closed by the garbage collector, at any point of any thread.
        self._lock = threading.RLock()
        self._led = False
        self._followers: dict[Listener, None] = {}
        self._wanted: dict[bytes, tuple[Listener, ...]] = {}
        self._to_join: dict[bytes, None] = {}
        self._to_leave: dict[bytes, None] = {}
        #: Number of SUBSCRIBE replies that are still to come for a channel.
        self._pending: dict[bytes, int] = {}
        # A follower rings here when the leader has something to send.
        self._ring, self._rung = socket.socketpair()
        self._ring.setblocking(False)
        self._rung.setblocking(False)

    def join(self, listener: Listener) -> None:
        """Take a listener in; it is told once its channels are confirmed."""
        self._listen(listener, listener.channels)

    def widen(self, listener: Listener, channels: Iterable[str]) -> None:
        """Have a listener hear more channels; it is told once all are confirmed."""
        more = Listener(channels).channels
        with self._lock:
            new = [channel for channel in more if channel not in listener.channels]
            listener.channels = (*listener.channels, *new)
            self._listen(listener, new)

    def _listen(self, listener: Listener, channels: Iterable[bytes]) -> None:
        with self._lock:
            for channel in channels:
                others = self._wanted.get(channel, ())
                self._wanted[channel] = (*others, listener)
                if not others:
                    self._to_leave.pop(channel, None)
                    self._to_join[channel] = None
                if channel in self._to_join or channel in self._pending:
                    listener.missing.add(channel)
            if not listener.missing:
                listener.inbox.append(LOOK)
        self._nudge()

    def rejoin(self, listener: Listener) -> None:
        """Subscribe again: the confirmation comes behind everything published before."""
        with self._lock:
            for channel in listener.channels:
                self._to_join[channel] = None
                listener.missing.add(channel)
        self._nudge()

    def leave(self, listener: Listener) -> None:
        """Forget a listener, and the channels that nobody else listens to."""
        if self.pid != os.getpid():
            return  # the socket is our parent's
        with self._lock:
            self._forget(listener, listener.channels)
            listener.channels = ()
            lead = self._connection is not None and bool(self._to_leave) and self._take_lead()
        if lead:
            self._resign()
        else:
            self._nudge()

    def narrow(self, listener: Listener, channels: Iterable[str]) -> None:
        """Have a listener hear some channels no more; Redis is told with the next wish."""
        gone = set(Listener(channels).channels)
        with self._lock:
            self._forget(listener, gone)
            listener.channels = tuple(channel for channel in listener.channels if channel not in gone)
            waited = bool(listener.missing)
            listener.missing -= gone
            if waited and not listener.missing:
                listener.inbox.append(LOOK)

    def _forget(self, listener: Listener, channels: Iterable[bytes]) -> None:
        for channel in channels:
            others = tuple(other for other in self._wanted.get(channel, ()) if other is not listener)
            if others:
                self._wanted[channel] = others
            elif self._wanted.pop(channel, None):
                # Also one that waits to be joined: it may be joined already, and catching up.
                self._to_join.pop(channel, None)
                self._to_leave[channel] = None

    def wait(self, listener: Listener, deadline: float | None) -> Event | None:
        """Give the next event of a listener: read for all, or follow who does; see `Subscription.next`."""
        while True:
            with self._lock:
                if listener.inbox:
                    return listener.inbox.popleft()
                lead = self._take_lead()
                if not lead:
                    listener.bell.clear()
                    self._followers[listener] = None
            try:
                if lead:
                    self._read_for_all(listener, deadline)
                else:
                    listener.bell.wait(_left(deadline))
            finally:
                if lead:
                    self._resign()
                else:
                    self._stop_following(listener)
            if deadline is not None and time.monotonic() >= deadline and not listener.inbox:
                if self._error is not None:
                    raise BackendUnavailableError(str(self._error)) from self._error
                return None

    def shut(self) -> None:
        """Close the socket below whoever reads: the leader notices and connects anew."""
        connection = self._connection
        sock = connection._get_socket() if connection is not None else None  # noqa: SLF001 - no public way to it
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        self._ring.close()
        self._rung.close()

    # The lead: taken under the lock, passed on when it ends.

    def _take_lead(self) -> bool:
        if self._led:
            return False
        self._led = True
        return True

    def _resign(self) -> None:
        while True:
            with self._lock:
                # Wishes that came while this thread was on its way out: there may be nobody after it to send them.
                if self._connection is None or not (self._to_leave or self._to_join):
                    self._led = False
                    self._promote()
                    return
            try:
                self._send_wishes()
            except (redis_errors.RedisError, OSError):
                self._drop()

    def _stop_following(self, listener: Listener) -> None:
        with self._lock:
            self._followers.pop(listener, None)
            # It may have been promoted in the moment in which it gave up.
            if not self._led:
                self._promote()

    def _promote(self) -> None:
        for listener in self._followers:
            listener.bell.set()
            return

    def _nudge(self) -> None:
        if self._led and (self._to_join or self._to_leave):
            with suppress(BlockingIOError, InterruptedError):
                self._ring.send(b"!")

    # What the leader does.

    def _read_for_all(self, listener: Listener, deadline: float | None) -> None:
        while not listener.inbox:
            left = _left(deadline)
            if left is not None and left <= 0:
                return
            try:
                if self._connection is None:
                    self._open()
                self._send_wishes()
                self._read(self._check_s if left is None else min(self._check_s, left))
                self._error, self._pause = None, _FIRST_PAUSE_S
            except (redis_errors.RedisError, OSError) as error:
                self._drop()
                failure = translate(error, sent=False)
                if not isinstance(failure, BackendUnavailableError):
                    raise failure from error
                self._error = failure
                pause = random() * self._pause  # noqa: S311 - jitter, not a secret
                self._pause = min(_LONGEST_PAUSE_S, self._pause * 2)
                left = _left(deadline)
                time.sleep(pause if left is None else max(0.0, min(pause, left)))
            except BaseException:
                # Nobody knows how much of a reply was read.
                self._drop()
                raise

    def _open(self) -> None:
        connection: Any = self._connect()
        connection.connect()
        with self._lock:
            self._connection = connection
            self.stand += 1
            self._asked = False
            self._pending.clear()
            self._to_leave.clear()
            self._to_join = dict.fromkeys(self._wanted)
            for channel, listeners in list(self._wanted.items()):
                for listener in listeners:
                    listener.missing.add(channel)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _send_wishes(self) -> None:
        connection = self._connection
        if connection is None or not (self._to_join or self._to_leave):
            return
        with self._lock:
            packed = b""
            if self._to_leave:
                packed = _packed(b"UNSUBSCRIBE", *self._to_leave)
                self._to_leave.clear()
            if self._to_join:
                packed += _packed(b"SUBSCRIBE", *self._to_join)
                for channel in self._to_join:
                    self._pending[channel] = self._pending.get(channel, 0) + 1
                self._to_join.clear()
        connection.send_packed_command([packed], check_health=False)

    def _read(self, timeout: float) -> None:
        connection = self._connection
        if not connection.can_read(0):
            poller = select.poll()
            poller.register(self._rung, select.POLLIN)
            poller.register(connection._get_socket(), select.POLLIN)  # noqa: SLF001 - no public way
            ready = {fd for fd, _ in poller.poll(timeout * 1000)}
            if self._rung.fileno() in ready:
                with suppress(BlockingIOError):
                    self._rung.recv(4096)
                return
            if not ready:
                if timeout >= self._check_s:
                    self._check(connection)
                return
        try:
            reply = connection.read_response(disable_decoding=True, disconnect_on_error=False)
        except redis_errors.TimeoutError:
            return  # part of a reply; the parser keeps it
        self._asked = False
        if isinstance(reply, list):
            self._tell(reply)

    def _check(self, connection: Any) -> None:
        if self._asked:
            raise redis_errors.ConnectionError("the pub/sub connection does not answer")
        self._asked = True
        connection.send_packed_command([_packed(b"PING")], check_health=False)

    def _tell(self, reply: list[Any]) -> None:
        kind, channel = reply[0], reply[1]
        with self._lock:
            if kind == b"message":
                event = Event(channel.decode(), reply[2])
                for listener in self._wanted.get(channel, ()):
                    deliver(listener, event)
            elif kind == b"subscribe":
                left = self._pending.pop(channel, 1) - 1
                if left:
                    self._pending[channel] = left
                    return
                for listener in self._wanted.get(channel, ()):
                    if channel in listener.missing:
                        listener.missing.discard(channel)
                        if not listener.missing:
                            deliver(listener, LOOK)


def _packed(*command: Any) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else deadline - time.monotonic()
