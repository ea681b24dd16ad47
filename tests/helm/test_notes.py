"""NOTES.txt: what whoever installed the chart reads at the end is true for the values that were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from rendering import Chart

LEAST: dict[str, Any] = {"redis": {"hosts": ["redis"]}, "workers": {"w": {"package": "my_app"}}}

ALWAYS = ("kubectl --namespace ns get pods --selector app.kubernetes.io/instance=rel", "helm test rel --namespace ns")
NO_POOL = "No worker pool is set"
FIRST_KEY = "alsek api keys create first --scope admin"
DASHBOARD = "kubectl --namespace ns port-forward svc/rel-alsek-api 8000:"
TRIAL = "The Valkey in this release is for trials"
HINTS = (NO_POOL, FIRST_KEY, DASHBOARD, TRIAL)

KEY = {"firstKeySecret": {"name": "k", "key": "t"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.mark.parametrize(
    ("values", "head", "hints"),
    [
        (LEAST, "1 worker pool(s), 2 scheduler(s), 2 API pod(s).", {FIRST_KEY, DASHBOARD}),
        (LEAST | {"api": KEY}, "1 worker pool(s), 2 scheduler(s), 2 API pod(s).", {DASHBOARD}),
        (LEAST | {"api": {"insecureNoAuth": True}}, "2 API pod(s).", {DASHBOARD}),
        (LEAST | {"api": {"enabled": False}}, "1 worker pool(s), 2 scheduler(s).", set()),
        (LEAST | {"scheduler": {"enabled": False}}, "1 worker pool(s), 2 API pod(s).", {FIRST_KEY, DASHBOARD}),
        (LEAST | {"workers": {}, "api": KEY}, "0 worker pool(s), 2 scheduler(s)", {NO_POOL, DASHBOARD}),
        ({"valkey": {"enabled": True}, "api": KEY}, "0 worker pool(s)", {NO_POOL, DASHBOARD, TRIAL}),
    ],
)
def test_the_notes_say_what_is_there_and_what_is_left_to_do(
    chart: Chart, folder: Path, values: dict[str, Any], head: str, hints: set[str]
) -> None:
    notes = chart.notes(values, folder)

    assert head in notes.splitlines()[0]
    assert all(line in notes for line in ALWAYS)
    assert {hint for hint in HINTS if hint in notes} == hints
    assert "<no value>" not in notes


@pytest.mark.parametrize(
    ("more", "address"),
    [
        ({"host": "q.internal", "tlsSecret": "t"}, "or https://q.internal/"),
        ({"host": "q.internal", "allowPlainHttp": True, "path": "/queue"}, "or http://q.internal/queue"),
    ],
)
def test_the_notes_name_the_address_of_the_dashboard(
    chart: Chart, folder: Path, more: dict[str, Any], address: str
) -> None:
    values = LEAST | {"api": KEY | {"service": {"port": 8080}}, "ingress": {"enabled": True} | more}

    notes = chart.notes(values, folder)

    assert f"{DASHBOARD}8080\n" in notes
    assert address in notes
