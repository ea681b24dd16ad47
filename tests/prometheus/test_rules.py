"""Rules and dashboards: what they ask for is exported, each alert has its page and its cases, and promtool agrees."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from typing import Any

import pytest
import yaml

import alsek_api.metrics
import alsek_scheduler.metrics
import alsek_worker.metrics
from alsek.tools import exposition, gauges
from prometheus.queries import ALERTS, CASES, DASHBOARDS, RECORDED, ROOT, RULES, asked, expressions

#: What a scrape adds, and what a rule makes.
EVERYWHERE = {"job", "instance", "le"}


def exported() -> dict[str, set[str]]:
    """The labels of every series that a service exports."""
    found: dict[str, set[str]] = {}
    homes = (alsek_worker.metrics.ALL, alsek_scheduler.metrics.ALL, alsek_api.metrics.ALL, gauges.ALL)
    for one in (exposition.BUILD_INFO, *(one for home in homes for one in home)):
        endings = ("_bucket", "_count", "_sum") if one.kind == "histogram" else ("",)
        for ending in endings:
            found[one.name + ending] = {*one.labels, *EVERYWHERE}
    return found


@pytest.mark.parametrize(("place", "expression"), expressions(), ids=lambda text: text[:40])
def test_what_a_query_asks_for_is_exported(place: str, expression: str) -> None:
    series = exported()

    for name, labels in asked(expression):
        if ":" in name:
            assert name in RECORDED, f"{place}: no rule records {name}"
            continue
        assert name in series, f"{place}: nothing exports {name}"
        assert labels <= series[name], f"{place}: {name} has no label {labels - series[name]}"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_page_and_cases_in_which_it_fires_and_does_not(rule: dict[str, Any]) -> None:
    assert (ROOT / rule["annotations"]["runbook_url"]).is_file()
    assert rule["labels"]["severity"] in ("page", "ticket")
    cases = [
        bool(case["exp_alerts"])
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == rule["alert"]
    ]

    assert set(cases) == {True, False}, f"cases in which it fires: {cases.count(True)}, and not: {cases.count(False)}"


def test_the_chart_ships_the_same_rules_and_dashboards() -> None:
    files = ROOT / "deploy/helm/alsek/files"

    for path in RULES:
        assert (files / "rules" / path.name).read_text() == path.read_text()
    for path in DASHBOARDS:
        assert (files / "dashboards" / path.name).read_text() == path.read_text()


def test_the_dashboards_are_what_their_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "scripts/dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert {path.name: path.read_text() for path in DASHBOARDS} == script.pages(), "`make dashboards` writes them anew"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: apt install prometheus)")
@pytest.mark.parametrize("command", [["check", "rules", *RULES], ["test", "rules", *CASES]], ids=["check", "test"])
def test_promtool_agrees(command: list[str]) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
