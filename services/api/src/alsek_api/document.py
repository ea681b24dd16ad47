"""The description of the API: OpenAPI 3.1, made of the routes; served, tested, and printed as the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from alsek_api.schemas.enqueue import BatchRequest
from alsek_api.schemas.names import ProblemView

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

#: Named by operations that describe their bodies themselves.
_MORE: tuple[type[BaseModel], ...] = (BatchRequest, ProblemView)

_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as `alsek api keys create` prints it. Its scopes: read, enqueue, operate, admin.",
    }
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Give the description of an application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            separate_input_output_schemas=False,
        )
        _, more = models_json_schema(
            [(model, "validation") for model in _MORE], ref_template="#/components/schemas/{model}"
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in more["$defs"].items():
            schemas.setdefault(name, schema)
        document["components"]["securitySchemes"] = _SCHEMES
        app.openapi_schema = document
    return app.openapi_schema
