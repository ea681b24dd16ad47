"""The description of the API: whole, with examples that are right, and kept by the service under random requests."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from jsonschema import Draft202012Validator
from schemathesis import checks

from alsek_api.app import create_app
from alsek_api.document import describe
from alsek_api.settings import ApiSettings

if TYPE_CHECKING:
    from api_stage import Stage

DOCUMENT = describe(create_app(ApiSettings()))
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]

#: Examples of random requests for each operation; `make chaos` takes more.
EXAMPLES = 4
MORE = 150


def contents(part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(part.get("content", {}).items())


def examples(content: dict[str, Any]) -> list[Any]:
    return (
        [content["example"]] if "example" in content else [one["value"] for one in content.get("examples", {}).values()]
    )


def matches(schema: dict[str, Any], example: Any) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(example)]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_operation_is_explained_with_examples_that_fit(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    parts = [operation["requestBody"]] if "requestBody" in operation else []
    parts += [response for status, response in operation["responses"].items() if status != "204"]
    for part in parts:
        assert contents(part), part
        for kind, content in contents(part):
            assert examples(content), (kind, content)
            for example in examples(content):
                assert matches(content.get("schema", {}), example) == [], example
    for parameter in operation.get("parameters", []):
        assert parameter.get("description"), parameter


def test_the_document_is_openapi_31_and_names_no_part_that_is_missing() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    text = str(DOCUMENT)
    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named <= set(DOCUMENT["components"]["schemas"])
    assert "HTTPValidationError" not in text


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, value: Any) -> bytes:
    return value.encode(errors="surrogatepass") if isinstance(value, str) else str(value).encode()


schema = schemathesis.openapi.from_dict(DOCUMENT)

CHECKS = [
    checks.not_a_server_error,
    *(
        getattr(schemathesis.specs.openapi.checks, name)
        for name in (
            "status_code_conformance", "content_type_conformance", "response_schema_conformance", "ignored_auth",
        )
    ),
]  # fmt: skip


def try_out(case: Any, stage: Stage, token: str) -> None:
    response = case.call(
        base_url=stage.running.url, headers={"Authorization": f"Bearer {token}"}, timeout=20, allow_redirects=False
    )
    if response.status_code == 503:  # nothing is away here
        raise AssertionError(response.text)
    case.validate_response(response, checks=CHECKS, headers={"Authorization": f"Bearer {token}"})


def _settings(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=not os.environ.get("ALSEK_CHAOS_SCALE"),
        database=None,
    )


@schema.parametrize()
@_settings(EXAMPLES)
def test_random_requests_are_answered_as_the_description_says(case: Any, shared_stage: Stage) -> None:
    try_out(case, shared_stage, shared_stage.token)


@pytest.mark.slow
@schema.parametrize()
@_settings(MORE)
def test_many_random_requests_are_answered_as_the_description_says(case: Any, shared_stage: Stage) -> None:
    try_out(case, shared_stage, shared_stage.token)
