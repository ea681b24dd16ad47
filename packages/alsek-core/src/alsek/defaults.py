"""Every number that applies when nobody chose one.

All durations are milliseconds; all times are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alsek.types import SupportedMechanismType

#: Upstream's name for the queue of tasks that name none.
DEFAULT_QUEUE: Final = "alsek_queue"

#: Prefix of every key.
DEFAULT_NAMESPACE: Final = "alsek"

#: Further attempts after the first one.
DEFAULT_MAX_RETRIES: Final = 3

#: One hour: long enough that nobody meets it by surprise.
DEFAULT_TASK_TIMEOUT: Final = 3_600_000

#: Threads cost least and suit tasks that wait for I/O, as most do.
DEFAULT_MECHANISM: Final[SupportedMechanismType] = "thread"

#: Seven days: a message that nobody ran over a long weekend is still there on Tuesday.
DEFAULT_TTL: Final = 604_800_000

#: `"true"` in every process in which tasks run; set before task modules are imported.
ALSEK_WORKER_POOL_ENV_VAR: Final = "ALSEK_WORKER_POOL"

#: Bounds how long work stands still after a worker was killed; a heartbeat renews it every third of this.
DEFAULT_LEASE_MS: Final = 30_000

#: A message that ended five workers in a row will end the sixth.
DEFAULT_MAX_DELIVERIES: Final = 5

#: How long an ended message and a claim are remembered, so that a repeated command is recognised. Covers
#: the longest series of repeats after a lost reply.
DEFAULT_RECEIPT_MS: Final = 60_000

#: The revocation of a message that is not there yet (a callback whose parent still waits) is remembered so long, ms.
FORESIGHT_MS: Final = 604_800_000

#: A result with `result_ttl=None` is kept this long: finished work must not fill Redis.
DEFAULT_RESULT_RETENTION_MS: Final = 604_800_000

#: Priority and time share one 53-bit score: 12 bits for the priority leave 41 for milliseconds (69 years).
MAX_PRIORITY: Final = 4_095

#: 1 MiB. Larger data belongs in an object store, and its address in the message.
MAX_MESSAGE_BYTES: Final = 1_048_576

#: 64 MiB. While a larger result travels, Redis serves nobody else; from 512 MiB on it refuses.
MAX_RESULT_BYTES: Final = 67_108_864

#: A uuid takes 36 characters; longer ids of foreign systems fit too, and keys stay short.
MAX_UUID_LENGTH: Final = 128

#: Names of tasks and queues are parts of keys.
MAX_NAME_LENGTH: Final = 128

#: One hundred years: longer durations are a mistake, and would not fit into a score.
MAX_DURATION_MS: Final = 3_155_760_000_000

#: Longest text or traceback kept of an exception (characters); the middle is cut out.
MAX_EXCEPTION_TEXT: Final = 65_536
