"""Where everything lives in Redis: the one place that spells a key.

All keys that one transition touches carry the same hash tag, `{<namespace>:<partition>}`, so that a script
may touch them together on Redis Cluster. The partition of a message follows from its uuid alone
(`crc32(uuid) mod partitions`): whoever knows the uuid finds the message.

| suffix after the tag | type | holds |
|---|---|---|
| `m:<uuid>` | hash | the record, the truth about one message (fields: see `lua/README.md`) |
| `r:<queue>` | zset | ready ids; score = priority, then time |
| `d:<queue>` | zset | delayed ids; score = due time, ms |
| `l:<queue>` | zset | leased ids; score = end of the lease, ms |
| `x:<queue>` | zset | dead letters; score = when they expire, ms |
| `w:<queue>` | list | at most one wake-up marker; never data |
| `queues` | set | names of the queues seen in this partition |
| `meta` | hash | `clock` (a worker last spoke, ms), `grace` (no lease is recovered before, ms), `pause:<queue>` |
| `u:<digest>` | string | the unique message that holds a key: its uuid, and the end of its window, ms |
| `n:<queue>:<quarter>` | hash | what happened in each minute of a quarter of an hour; kept six hours |
| `c:<consumer>` | string | receipt of a consumer's last claim |
| `s:<id>` | hash | a schedule (fields: see `lua/README.md`); it lies where its messages do |
| `schedules`, `schedules:due` | zset | ids of all schedules, by name; of those that will fire, by time |
| `schedules:paused`, `schedules:broken` | set | ids of schedules that do not fire |
| `schedules:lead` | string | epoch and identity of the latest leader that spoke here |
| `schedules:lock`, `schedules:epoch` | string | in partition 0: who leads; how many leaderships there were |
| `results:…`, `kids:<uuid>`, `status:…` | string, zset, string | results, their index by progenitor, statuses |
| `ticket:<uuid>` | string | of a message that came by HTTP: queue, task, root; outlives the record |
| `idem:<digest>` | string | what a request with an Idempotency-Key was answered |
| `api:<name>` | any | the HTTP service's own, in partition 0: keys, secret, budgets |

Who works here is no part of a partition, and lies in one slot of a cluster: `{<namespace>:registry}:` and then

| suffix | type | holds |
|---|---|---|
| `workers` | zset | ids of workers; score = when one counts as gone, ms |
| `beats` | hash | what each said last |
| `about`, `about-until` | hash, zset | who each is or was; when that is forgotten, ms |
| `tasks`, `tasks-until` | hash, zset | descriptions of tasks by name; when one is forgotten, ms |

A lock is no part of one, either: `<namespace>:lock:<name>` holds its owner; `<namespace>:lock-notes:{<that>}` and
`<namespace>:lock-signal:{<that>}` stand beside it, in the same slot of a cluster.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

#: 2020-01-01 in ms: subtracted from ready times so that 41 bits last until 2089.
EPOCH_MS: Final = 1_577_836_800_000

#: One priority level outweighs any time: 12 bits of priority and 41 of time fill the 53 of a double.
PRIORITY_WEIGHT: Final = 2**41


class Keys:
    """The key names of one namespace.

    Args:
        namespace: First part of every key.
        partitions: Number of hash tags the messages spread over, ≥ 1.
    """

    __slots__ = ("_tags", "namespace", "partitions")

    def __init__(self, namespace: str, partitions: int = 1) -> None:
        self.namespace = namespace
        self.partitions = partitions
        self._tags = tuple(f"{{{namespace}:{p}}}:" for p in range(partitions))

    def partition(self, uuid: str) -> int:
        """Give the partition of a message."""
        return crc32(uuid.encode()) % self.partitions if self.partitions > 1 else 0

    def tag(self, partition: int) -> str:
        """Give the prefix that all keys of a partition share."""
        return self._tags[partition]

    def tag_of(self, uuid: str) -> str:
        """Give the prefix of the keys of a message."""
        return self._tags[self.partition(uuid)]

    def record(self, uuid: str) -> str:
        """Give the key of a message's record."""
        return f"{self.tag_of(uuid)}m:{uuid}"

    def of_queue(self, queue: str, partition: int) -> list[str]:
        """Give the five keys of a queue in the order that every script expects."""
        tag = self._tags[partition]
        return [f"{tag}r:{queue}", f"{tag}d:{queue}", f"{tag}l:{queue}", f"{tag}x:{queue}", f"{tag}w:{queue}"]

    def ready(self, queue: str, partition: int) -> str:
        """Give the key of the ready ids of a queue."""
        return f"{self._tags[partition]}r:{queue}"

    def delayed(self, queue: str, partition: int) -> str:
        """Give the key of the delayed ids of a queue."""
        return f"{self._tags[partition]}d:{queue}"

    def leases(self, queue: str, partition: int) -> str:
        """Give the key of the leased ids of a queue."""
        return f"{self._tags[partition]}l:{queue}"

    def dead(self, queue: str, partition: int) -> str:
        """Give the key of the dead letters of a queue."""
        return f"{self._tags[partition]}x:{queue}"

    def wake(self, queue: str, partition: int) -> str:
        """Give the key on which idle consumers of a queue block."""
        return f"{self._tags[partition]}w:{queue}"

    def counts(self, queue: str, partition: int, quarter: int) -> str:
        """Give the key of what happened in a queue in the minutes of a quarter of an hour (number since the epoch)."""
        return f"{self._tags[partition]}n:{queue}:{quarter}"

    def queues(self, partition: int) -> str:
        """Give the key of the set of queue names seen in a partition."""
        return f"{self._tags[partition]}queues"

    def meta(self, partition: int) -> str:
        """Give the key of a partition's clock, grace and pauses."""
        return f"{self._tags[partition]}meta"

    @staticmethod
    def pause_field(queue: str) -> str:
        """Give the field of `meta` that remembers the pause of a queue."""
        return f"pause:{queue}"

    def result(self, uuid: str, progenitor_uuid: str | None = None) -> str:
        """Give the key of a message's result."""
        return f"{self.tag_of(uuid)}{self.result_name(uuid, progenitor_uuid)}"

    @staticmethod
    def result_name(uuid: str, progenitor_uuid: str | None = None) -> str:
        """Give the part of a result's key that follows the tag."""
        if progenitor_uuid is None:
            return f"results:{uuid}"
        return f"results:{progenitor_uuid}:descendants:{uuid}"

    def kids(self, progenitor_uuid: str) -> str:
        """Give the key of the index of results below a progenitor."""
        return f"{self.tag_of(progenitor_uuid)}kids:{progenitor_uuid}"

    def status(self, queue: str, task_name: str, uuid: str) -> str:
        """Give the key of a message's tracked status."""
        return f"{self.tag_of(uuid)}status:{queue}:{task_name}:{uuid}"

    def ticket(self, uuid: str) -> str:
        """Give the key of what is remembered of a message that came by HTTP."""
        return f"{self.tag_of(uuid)}ticket:{uuid}"

    def idempotency(self, digest: str) -> str:
        """Give the key of a request that must not be carried out twice."""
        return f"{self.tag_of(digest)}idem:{digest}"

    def api(self, name: str) -> str:
        """Give a key of the HTTP service's own."""
        return f"{self._tags[0]}api:{name}"

    def of_registry(self) -> list[str]:
        """Give the six keys of the registry in the order that its script expects."""
        names = ("workers", "beats", "about", "about-until", "tasks", "tasks-until")
        return [f"{{{self.namespace}:registry}}:{name}" for name in names]

    def of_lock(self, name: str) -> tuple[str, str, str]:
        """Give the keys of a lock: itself, its notes, and the signal its waiters block on (one slot of a cluster)."""
        lock = f"{self.namespace}:lock:{name}"
        return lock, f"{self.namespace}:lock-notes:{{{lock}}}", f"{self.namespace}:lock-signal:{{{lock}}}"

    def done_channel(self, uuid: str) -> str:
        """Give the pub/sub channel on which the end of a message is told."""
        return f"{self.tag_of(uuid)}done:{uuid}"

    def schedule(self, schedule_id: str) -> str:
        """Give the key of a schedule."""
        return f"{self.tag_of(schedule_id)}s:{schedule_id}"

    @property
    def scheduler_channel(self) -> str:
        """The pub/sub channel on which schedulers hear that a schedule changed, or that the lead is free."""
        return f"{self.namespace}:schedulers"

    def worker_channel(self, worker_id: str) -> str:
        """Give the pub/sub channel on which a worker hears of revocations."""
        return f"{self.namespace}:worker:{worker_id}"
