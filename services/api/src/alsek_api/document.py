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
        _restore_examples(document)
        app.openapi_schema = document
    return app.openapi_schema


def _restore_examples(document: dict[str, Any]) -> None:
    """Put the examples back as they were written: FastAPI takes every null out of them."""
    from fastapi.routing import APIRoute

    from alsek_api.routes import ROUTERS

    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    for route in routes:
        for method in (route.methods or ()) if route.include_in_schema else ():
            described = document["paths"][route.path][method.lower()]["responses"]
            for status, response in route.responses.items():
                for kind, content in response.get("content", {}).items():
                    if "example" in content:
                        described[str(status)]["content"][kind]["example"] = content["example"]
