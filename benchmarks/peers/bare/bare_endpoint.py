"""What everybody writes first: read JSON, push it into a list, answer."""

from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

from peerkit.adapter import options


class Asked(BaseModel):
    """A message."""

    task: str
    args: list = []


@asynccontextmanager
async def _lifespan(app):
    app.state.redis = Redis.from_url(options().redis_url)
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/messages", status_code=202)
async def enqueue(asked: Asked):
    uuid = str(uuid4())
    await app.state.redis.lpush("bench", asked.model_dump_json())
    return {"uuid": uuid}
