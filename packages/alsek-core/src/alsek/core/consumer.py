"""Takes messages from queues for one caller: claims in batches, settles in the same write, sleeps without polling."""

from __future__ import annotations

import logging
import math
import os
import select
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core.backoff import Backoff, LinearBackoff
from alsek.core.message import Message
from alsek.core.opening import open_claimed
from alsek.core.stop_signal import StopSignalListener
from alsek.core.subset import Subset, interests_of
from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.sleepers import Sleepers
from alsek.storage.backends.redis.verbs import MOST_IN_A_CALL, Interest, Verbs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.core.broker import Broker
    from alsek.core.settlement import Settlement
    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.scripts import Code

log = logging.getLogger(__name__)

#: Longest sleep without a look around, seconds: bounds the wait for what a dying neighbour had been woken for. Never
#: longer than half a lease: more would read as an outage where nobody renews.
_LOOK_AROUND_S: Final = 20.0

#: Most messages of a standing claim: a worker that vanished while it slept holds no more than these under a lease.
_MOST_STANDING: Final = 8

#: Upstream's pause after a look that found nothing; here only its ceiling counts.
_USUAL_BACKOFF: Final = LinearBackoff(1_000, floor=1_000, ceiling=30_000, zero_override=False)


class Exchange(NamedTuple):
    """What one write brought back."""

    codes: list[Code]
    messages: list[Message]


class Woken(NamedTuple):
    """What the end of a sleep brought; `more`: it is worth to claim at once."""

    messages: list[Message]
    more: bool


class _Claim(NamedTuple):
    call: Call
    token: str
    interests: list[Interest]
    want: int

    def of(self, want: int) -> _Claim:
        """Give the same claim of another number of messages."""
        args = [*self.call.args]
        args[1] = want
        return self._replace(call=self.call._replace(args=args), want=want)


class Consumer:
    """Claims messages of some queues, and sleeps in Redis while there are none.

    Used by one thread at a time, but for `stop_signal`.

    Args:
        broker: Whose messages.
        subset: `None`: every queue; a list of queues, the preferred first; or queue → names of tasks.
        backoff: Its ceiling bounds the sleep without a look around (at most 20 s and half a lease); kept for its name,
            nothing is polled.
        worker_id: Random id of this boot of a worker, by which revocations reach it; made when omitted.
        name: Tells consumers of one worker apart.
        fair: Each claim starts at another queue, so that none of them starves.
    """

    def __init__(
        self,
        broker: Broker,
        subset: Subset = None,
        backoff: Backoff | None = _USUAL_BACKOFF,
        *,
        worker_id: str | None = None,
        name: str = "0",
        fair: bool = False,
    ) -> None:
        self.broker = broker
        self.subset = subset
        self.backoff = backoff
        self.stop_signal = StopSignalListener(stop_signals=())
        self.worker_id = worker_id or os.urandom(8).hex()
        self.consumer_id = f"{self.worker_id}.{name}"
        self._fair = fair
        self._seq = 0
        self._turn = 0
        self._interests: list[Interest] | None = None if subset is None else interests_of(subset)
        self._looked_up = -math.inf
        self._link = broker.redis.new_link()
        self._sleepers = Sleepers(broker.redis)
        #: Whether a sleep can leave a claim: of several partitions, nobody knows which will have something.
        self.may_stand = broker.keys.partitions == 1
        self.owed: list[Settlement] = []  # what could not be read, for the next exchange
        self._unanswered: list[_Claim] = []
        self._standing: _Claim | None = None
        #: A moment in Redis' time (ms), and one on our clock (monotonic seconds) that was not later.
        self._moment = (0, -math.inf)
        self._others: frozenset[str] = frozenset()  # queues in which others have the wake marker until our next look
        self.next_ms: float | None = None  # until something falls due, as the last look saw it; None: nothing will
        ceiling = backoff.ceiling if backoff is not None else None
        self._look_around_s = min(_LOOK_AROUND_S, broker.lease_ms / 2000, (ceiling or math.inf) / 1000)

    def stream(self) -> Iterator[Message]:
        """Give messages for as long as nobody stops us, each held under a lease.

        One message at a time is claimed: what is not asked for is left to others.
        """
        while not self.stop_signal.received:
            try:
                messages = self.exchange((), 1).messages
                if not messages and not self.owed:
                    self.sleep()
            except BackendUnavailableError as error:
                log.warning("Redis is away, trying again: %s", error)
                self.stop_signal.wait(1_000)
                continue
            yield from messages

    def exchange(self, settlements: Sequence[Settlement], want: int) -> Exchange:
        """Settle what is finished and claim up to `want` messages, in one write.

        Args:
            settlements: Each is accepted or refused on its own.
            want: 0: claim nothing.

        Returns:
            A code for each settlement, and the messages. What cannot be read is settled by the consumer itself.

        Raises:
            BackendUnavailableError: Repeat the same settlements later: what was done is recognised.
        """
        own, self.owed = self.owed, []
        everything = [*settlements, *own]
        made = self.broker.plan(everything)
        # What an unanswered call may have claimed is asked for again, by the same tokens.
        claims = self._unanswered or self._claims(want)
        # A hand that is too small to be split asks one partition after the other.
        at_once = claims if self._unanswered or want >= 2 * len(claims) else claims[:1]
        before = time.monotonic()
        try:
            replies = self._link.execute([*made.calls, *[claim.call for claim in at_once]])
        except BackendUnavailableError:
            self.owed = own + self.owed
            self._unanswered = [claim._replace(call=claim.call.repeated()) for claim in at_once]
            raise
        self._unanswered = []
        codes = made.codes(replies[: len(made.calls)])
        messages: list[Message] = []
        self.next_ms, self._others = None, frozenset()
        for claim, reply in zip(at_once, replies[len(made.calls) :], strict=True):
            self._absorb(claim, reply, before, messages)
        for claim in claims[len(at_once) :]:
            if len(messages) >= want:
                self.next_ms = 0
                break
            claim = claim.of(want - len(messages))  # noqa: PLW2901  (no more than is still wanted)
            before = time.monotonic()
            try:
                (reply,) = self._link.execute([claim.call])
            except BackendUnavailableError:
                self._unanswered = [claim._replace(call=claim.call.repeated())]
                break
            self._absorb(claim, reply, before, messages)
        return Exchange(codes[: len(settlements)], messages)

    # -- sleeping ------------------------------------------------------------------------------------------------

    def sleep(self) -> None:
        """Block until something may be there, at most the look-around; ends early when stopped."""
        self.fall_asleep()
        sources = [self.fileno(), self.stop_signal.fileno()]
        woken, _, _ = select.select(sources, [], [], max(0.0, self.overdue - time.monotonic()))
        if sources[0] in woken or not woken:
            self.wake_up()

    def fall_asleep(self, want: int = 0) -> None:
        """Start a blocking look at the wake keys; `fileno` becomes readable when it has ended.

        Args:
            want: Messages that may be claimed without asking again: a standing claim is sent behind the look, so that
                Redis carries it out the moment the look ends, and a message that comes to an idle worker saves a
                round trip. `wake_up` brings them, and at most 8.
        """
        if self._sleepers.asleep and not self._sleepers.apart:
            return
        seconds = self._look_around_s
        if self.next_ms is not None:
            seconds = min(seconds, self.next_ms / 1000 + 0.001)
        keys = self.broker.keys
        queues = [interest.queue for interest in self._wanted() if interest.queue not in self._others]
        queues = queues or [""]  # nothing that could wake us: look again after the timeout
        ahead = min(want, _MOST_STANDING) if self.may_stand and not self._unanswered else 0
        standing = next(iter(self._claims(ahead)), None)
        self._sleepers.fall_asleep(
            lambda partition: [keys.wake(queue, partition) for queue in queues],
            seconds,
            standing.call if standing else None,
        )
        self._standing = standing

    def wake_up(self) -> Woken:
        """Read the end of the blocking look that `fall_asleep` started, which is there or overdue.

        Raises:
            BackendUnavailableError: It is not there; the connections are given up.
        """
        standing, self._standing = self._standing, None
        try:
            reply = self._sleepers.wake_up()
        except BackendUnavailableError:
            if standing is not None:  # what it may have claimed is asked for by the next exchange
                self._unanswered = [standing._replace(call=standing.call.repeated())]
            self._link.close()  # it went the same way: better a new one than another wait for nothing
            raise
        messages: list[Message] = []
        if standing is None or reply is None:
            return Woken(messages, more=True)
        self.next_ms, self._others = None, frozenset()
        self._absorb(standing, reply, self._moment[1], messages)
        return Woken(messages, more=self.next_ms == 0)

    def rouse(self) -> list[Message]:
        """End the sleep now, and give what its standing claim took.

        Raises:
            BackendUnavailableError: Redis did not answer.
        """
        return self.wake_up().messages if self._sleepers.rouse(self._link) else []

    @property
    def asleep(self) -> bool:
        """Whether a blocked look at the wake keys is under way (see `fall_asleep`)."""
        return self._sleepers.asleep

    @property
    def overdue(self) -> float:
        """When it has to be over (monotonic seconds): a connection that is silent then is dead."""
        return self._sleepers.overdue

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when the sleep is over."""
        return self._sleepers.fileno()

    def close(self) -> None:
        """Drop the connections."""
        self._link.close()
        self._sleepers.close()

    # -- claiming ------------------------------------------------------------------------------------------------

    @property
    def queues(self) -> list[str]:
        """The queues looked at, in order."""
        return [interest.queue for interest in self._wanted()]

    def _claims(self, want: int) -> list[_Claim]:
        wanted = self._wanted()
        if want <= 0 or not wanted:
            return []
        self._turn += 1
        if self._fair:
            start = self._turn % len(wanted)
            wanted = wanted[start:] + wanted[:start]
        places = self._sleepers.claimable()
        count = len(places)
        verbs: Verbs = self.broker.verbs
        claims = []
        for i in range(count):
            partition = places[(self._turn + i) % count]
            share = min(want if want < 2 * count else want // count + (i < want % count), MOST_IN_A_CALL)
            self._seq += 1
            token = f"{self.consumer_id}-{self._seq}"
            call = verbs.claim(partition, wanted, token, self.consumer_id, share)
            claims.append(_Claim(call, token, wanted, share))
        return claims

    def _absorb(self, claim: _Claim, reply: Any, before: float, messages: list[Message]) -> None:
        hand = Verbs.read_claim(reply, claim.interests)
        self._others |= hand.others
        if len(hand.messages) >= claim.want:
            self.next_ms = 0
        elif hand.next_ms is not None:
            self.next_ms = hand.next_ms if self.next_ms is None else min(self.next_ms, hand.next_ms)
        if self._interests is not None and any(interest.tasks for interest in claim.interests):
            offsets = {i.queue: offset for i, offset in zip(claim.interests, hand.offsets, strict=False)}
            self._interests = [i._replace(offset=offsets.get(i.queue, 0)) for i in self._interests]
            if any(offsets.values()) and len(hand.messages) < claim.want:
                self.next_ms = 0
        # A standing claim is carried out some time after it was sent: Redis' own clock tells when.
        seen_ms, seen = self._moment
        if before <= seen:
            before = min(time.monotonic(), seen + max(0, hand.now_ms - seen_ms) / 1000)
        self._moment = (hand.now_ms, before)
        deadline = before + self.broker.lease_ms / 1000
        for claimed in hand.messages:
            opened = open_claimed(self.broker, claimed, claim.token, deadline)
            if isinstance(opened, Message):
                messages.append(opened)
            elif opened is not None:
                self.owed.append(opened)

    def _wanted(self) -> list[Interest]:
        if self.subset is not None and self._interests is not None:
            return self._interests
        now = time.monotonic()
        if self._interests is None or not self._interests or now - self._looked_up > self._look_around_s:
            self._looked_up = now
            self._interests = [Interest(queue) for queue in sorted(self.broker.redis.queue_names())]
        return self._interests
