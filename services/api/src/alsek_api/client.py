"""A client of the HTTP API, for programs that should not (or cannot) talk to Redis: sync, and for asyncio.

Every enqueue carries an Idempotency-Key, so what has no answer is asked again, and stored once.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import httpx

from alsek_api import exchange
from alsek_api.exchange import ENDS, ApiError, Enqueued, Events, Outcome, Question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

__all__ = ["ApiError", "AsyncClient", "Client", "Enqueued", "Outcome"]


class Client:
    """Talks to one service. Use it in a `with` block, or close it.

    Args:
        url: Of the service, such as http://localhost:8000.
        key: An API key; none where the service needs none.
        timeout_s: For one answer, without what a long poll waits.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 10.0) -> None:
        self._http = httpx.Client(base_url=url, headers=_headers(key), timeout=timeout_s)
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def enqueue(
        self,
        task: str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Enqueued:
        """Store a message.

        Args:
            task: Name of the task.
            args: Positional arguments.
            kwargs: Keyword arguments.
            idempotency_key: The same key stores once; a new one by default.
            **options: More fields of the request: `queue`, `priority`, `delay_ms`, `run_at`, `callbacks`, …

        Raises:
            ApiError: It was refused, or there is no answer.
        """
        return exchange.enqueued(self.ask(exchange.enqueue(task, args, kwargs, idempotency_key, options)))

    def enqueue_many(
        self, messages: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> list[Outcome]:
        """Store up to 10,000 messages, each with an outcome of its own.

        Args:
            messages: For each what the API takes: `{"task": "add", "args": [1, 2]}`.
            idempotency_key: As in `enqueue`.

        Raises:
            ApiError: The whole request was refused, or there is no answer.
        """
        return exchange.outcomes(self.ask(exchange.enqueue_many(messages, idempotency_key)))

    def message(self, uuid: str) -> dict[str, Any]:
        """Read all that is known of a message."""
        answer: dict[str, Any] = self.ask(exchange.read(exchange.of_message(uuid)))
        return answer

    def result(self, uuid: str, *, wait_s: float = 0) -> Any:
        """Give what a task returned.

        Args:
            uuid: Of the message.
            wait_s: How long to wait for it.

        Raises:
            TimeoutError: It has not ended in time.
            TaskFailedError: The task failed, was revoked or expired.
            ApiError: It is unknown (404), or its result is not kept (410).
        """
        deadline = time.monotonic() + wait_s
        while True:
            left = max(0.0, min(exchange.LONGEST_POLL_S, deadline - time.monotonic()))
            path = exchange.of_message(uuid, f"/result?wait={left:.3f}")
            response = self._send(exchange.read(path), left)
            if response.status_code != 202:
                return exchange.value_of(response.json())
            if time.monotonic() >= deadline:
                raise TimeoutError(f"message {uuid} had no result within {wait_s:g} s")

    def events(self, uuid: str) -> Iterator[dict[str, Any]]:
        """Follow a message: its state now, and each change, until it has ended; a lost connection is made anew.

        Raises:
            ApiError: It is unknown, or the service does not come back.
        """
        events, lost = Events(), 0
        while True:
            try:
                with self._http.stream(
                    "GET", exchange.of_message(uuid, "/events"), headers=events.headers, timeout=60
                ) as response:
                    if response.status_code != 200:
                        response.read()
                        raise exchange.refusal(response)
                    for line in response.iter_lines():
                        event = events.feed(line)
                        if event is not None:
                            lost = 0
                            yield event
                            if event["state"] in ENDS:
                                return
            except (httpx.TransportError, ApiError) as error:
                lost += 1
                if lost >= exchange.MOST_ATTEMPTS or (isinstance(error, ApiError) and error.status not in (429, 503)):
                    raise _as_api_error(error) from error
                time.sleep(exchange.pause_s(None, lost) or 0)

    def revoke(self, uuid: str) -> dict[str, Any]:
        """End a message; gives what it was before."""
        answer: dict[str, Any] = self.ask(Question("POST", exchange.of_message(uuid, "/revoke")))["was"]
        return answer

    def queues(self) -> list[dict[str, Any]]:
        """Give all queues with their counts."""
        found: list[dict[str, Any]] = self.ask(exchange.read("/v1/queues"))["queues"]
        return found

    def ask(self, question: Question) -> Any:
        """Ask anything of the API; gives the body of the answer.

        Raises:
            ApiError: It was refused, or there is no answer.
        """
        response = self._send(question, 0)
        return response.json() if response.content else None

    def _send(self, question: Question, wait_s: float) -> httpx.Response:
        for attempt in range(exchange.MOST_ATTEMPTS):
            response: httpx.Response | None = None
            lost: httpx.TransportError | None = None
            try:
                response = self._http.request(
                    question.method,
                    question.path,
                    json=question.body,
                    headers=dict(question.headers),
                    timeout=self._timeout_s + wait_s,
                )
            except httpx.TransportError as error:
                lost = error
            if response is not None and response.is_success:
                return response
            pause = exchange.pause_s(response, attempt) if question.repeatable else None
            if pause is None or attempt == exchange.MOST_ATTEMPTS - 1:
                raise _failure(response, lost)
            time.sleep(pause)
        raise AssertionError  # the last attempt returns or raises


class AsyncClient:
    """The same for asyncio. Use it in an `async with` block, or close it.

    Args:
        url: Of the service.
        key: An API key; none where the service needs none.
        timeout_s: For one answer, without what a long poll waits.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 10.0) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), timeout=timeout_s)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        await self._http.aclose()

    async def enqueue(
        self,
        task: str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Enqueued:
        """Store a message; see `Client.enqueue`."""
        return exchange.enqueued(await self.ask(exchange.enqueue(task, args, kwargs, idempotency_key, options)))

    async def enqueue_many(
        self, messages: Iterable[Mapping[str, Any]], *, idempotency_key: str | None = None
    ) -> list[Outcome]:
        """Store many messages; see `Client.enqueue_many`."""
        return exchange.outcomes(await self.ask(exchange.enqueue_many(messages, idempotency_key)))

    async def message(self, uuid: str) -> dict[str, Any]:
        """Read all that is known of a message."""
        answer: dict[str, Any] = await self.ask(exchange.read(exchange.of_message(uuid)))
        return answer

    async def result(self, uuid: str, *, wait_s: float = 0) -> Any:
        """Give what a task returned; see `Client.result`."""
        deadline = time.monotonic() + wait_s
        while True:
            left = max(0.0, min(exchange.LONGEST_POLL_S, deadline - time.monotonic()))
            path = exchange.of_message(uuid, f"/result?wait={left:.3f}")
            response = await self._send(exchange.read(path), left)
            if response.status_code != 202:
                return exchange.value_of(response.json())
            if time.monotonic() >= deadline:
                raise TimeoutError(f"message {uuid} had no result within {wait_s:g} s")

    async def events(self, uuid: str) -> AsyncIterator[dict[str, Any]]:
        """Follow a message; see `Client.events`."""
        events, lost = Events(), 0
        while True:
            try:
                async with self._http.stream(
                    "GET", exchange.of_message(uuid, "/events"), headers=events.headers, timeout=60
                ) as response:
                    if response.status_code != 200:
                        await response.aread()
                        raise exchange.refusal(response)
                    async for line in response.aiter_lines():
                        event = events.feed(line)
                        if event is not None:
                            lost = 0
                            yield event
                            if event["state"] in ENDS:
                                return
            except (httpx.TransportError, ApiError) as error:
                lost += 1
                if lost >= exchange.MOST_ATTEMPTS or (isinstance(error, ApiError) and error.status not in (429, 503)):
                    raise _as_api_error(error) from error
                await asyncio.sleep(exchange.pause_s(None, lost) or 0)

    async def revoke(self, uuid: str) -> dict[str, Any]:
        """End a message; gives what it was before."""
        answer: dict[str, Any] = (await self.ask(Question("POST", exchange.of_message(uuid, "/revoke"))))["was"]
        return answer

    async def queues(self) -> list[dict[str, Any]]:
        """Give all queues with their counts."""
        found: list[dict[str, Any]] = (await self.ask(exchange.read("/v1/queues")))["queues"]
        return found

    async def ask(self, question: Question) -> Any:
        """Ask anything of the API; see `Client.ask`."""
        response = await self._send(question, 0)
        return response.json() if response.content else None

    async def _send(self, question: Question, wait_s: float) -> httpx.Response:
        for attempt in range(exchange.MOST_ATTEMPTS):
            response: httpx.Response | None = None
            lost: httpx.TransportError | None = None
            try:
                response = await self._http.request(
                    question.method,
                    question.path,
                    json=question.body,
                    headers=dict(question.headers),
                    timeout=self._timeout_s + wait_s,
                )
            except httpx.TransportError as error:
                lost = error
            if response is not None and response.is_success:
                return response
            pause = exchange.pause_s(response, attempt) if question.repeatable else None
            if pause is None or attempt == exchange.MOST_ATTEMPTS - 1:
                raise _failure(response, lost)
            await asyncio.sleep(pause)
        raise AssertionError  # the last attempt returns or raises


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _failure(response: httpx.Response | None, lost: httpx.TransportError | None) -> ApiError:
    return exchange.refusal(response) if response is not None else _as_api_error(lost)


def _as_api_error(error: Exception | None) -> ApiError:
    return error if isinstance(error, ApiError) else ApiError(f"no answer: {error or type(error).__name__}")
