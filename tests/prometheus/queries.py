"""What rules and dashboards ask for, taken from their files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
CASES = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))


def rules() -> list[dict[str, Any]]:
    """Every rule."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def expressions() -> list[tuple[str, str]]:
    """Every query, with where it stands."""
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        found += [
            (f"{path.stem}: {panel['title']}", one["expr"]) for panel in board["panels"] for one in panel["targets"]
        ]
        found += [
            (f"{path.stem}: ${one['name']}", re.sub(r"^label_values\((.*), \w+\)$", r"\1", one["query"]))
            for one in board["templating"]["list"]
            if one["type"] == "query"
        ]
    return found


def asked(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics of a query, each with the labels that its selector names; a recorded one has colons in its name."""
    metrics = re.findall(r"(?<![\w:])((?:\w+:)?alsek_\w+(?::\w+)?)(\{[^}]*\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))) for name, selector in metrics]


def grouped(expression: str) -> set[str]:
    """The labels by which a query groups or joins."""
    lists = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for text in lists for label in text.split(",") if label.strip()}
