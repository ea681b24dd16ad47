"""What a key may spend: requests a second and messages a day, counted in Redis for all services together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alsek.storage.backends.redis.values import spend, spend_of_day
from alsek_api.problems import too_many

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek_api.auth.keys import Principal


class Budgets:
    """The budgets of all keys. Where Redis does not answer nothing is let through: the guard fails closed.

    Args:
        broker: Of the namespace.
    """

    def __init__(self, broker: Broker) -> None:
        self._backend = broker.redis

    async def spend_request(self, principal: Principal) -> dict[str, str]:
        """Count a request, and give the headers that tell what is left.

        Raises:
            Problem: 429: they come too quickly.
        """
        rate = principal.rate
        assert rate is not None
        name = self._backend.keys.api(f"rate:{principal.id}")
        allowed, left, wait_ms, whole_ms = await self._run(spend(name, rate, rate, 1))
        headers = {
            "RateLimit-Policy": f'"requests";q={rate};w=1',
            "RateLimit": f'"requests";r={max(0, left)};t={-(-whole_ms // 1000)}',
        }
        if not allowed:
            raise too_many(f"This key is good for {rate} requests a second.", wait_ms / 1000, headers)
        return headers

    async def spend_messages(self, principal: Principal, count: int) -> None:
        """Count messages.

        Raises:
            Problem: 429: the quota of the day is used up, or too small for so many.
        """
        quota = principal.quota
        if quota is None:
            return
        name = self._backend.keys.api(f"quota:{principal.id}")
        allowed, left, wait_ms = await self._run(spend_of_day(name, quota, count))
        if not allowed:
            headers = {
                "RateLimit-Policy": f'"messages";q={quota};w=86400',
                "RateLimit": f'"messages";r={left};t={-(-wait_ms // 1000)}',
            }
            raise too_many(
                f"This key is good for {quota} messages a day, of which {left} are left.", wait_ms / 1000, headers
            )

    async def _run(self, call: Any) -> Any:
        return await self._backend.async_link.execute(call)
