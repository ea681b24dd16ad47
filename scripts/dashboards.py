#!/usr/bin/env python3
"""Write the Grafana dashboards to deploy/grafana/dashboards. `make dashboards`; a test says when it is due."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

DEPLOY: Final = Path(__file__).parents[1] / "deploy"

#: A chart can only ship what lies below it.
FOLDERS: Final = (DEPLOY / "grafana/dashboards", DEPLOY / "helm/alsek/files/dashboards")

#: Any Prometheus: chosen on top of each dashboard.
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

#: Panels of a row share its 24 columns.
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4

Query = tuple[str, str]
Panel = dict[str, Any]


def line(title: str, unit: str, *queries: Query, stack: bool = False, meaning: str = "") -> Panel:
    """A curve for each series: (query, legend)."""
    custom = {"fillOpacity": 20 if stack else 8, "showPoints": "never"} | (
        {"stacking": {"mode": "normal"}} if stack else {}
    )
    return {
        "type": "timeseries",
        "title": title,
        "description": meaning,
        "targets": targets(queries),
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def stat(title: str, unit: str, query: str, *, bad_from: float | None = None, meaning: str = "") -> Panel:
    """One number, red from a bound on."""
    steps: list[dict[str, Any]] = [{"color": "green" if bad_from is not None else "blue", "value": None}]
    if bad_from is not None:
        steps.append({"color": "red", "value": bad_from})
    return {
        "type": "stat",
        "title": title,
        "description": meaning,
        "targets": targets([(query, "")]),
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
    }


def targets(queries: Any) -> list[dict[str, Any]]:
    """The queries of a panel."""
    return [
        {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": query, "legendFormat": legend or "__auto"}
        for i, (query, legend) in enumerate(queries)
    ]


def dashboard(
    name: str, title: str, rows: list[list[Panel]], variables: dict[str, str] | None = None
) -> dict[str, Any]:
    """A dashboard of rows of panels.

    Args:
        name: Of its file, and its id.
        title: Shown on top.
        rows: Panels side by side; all of a row share its width.
        variables: Label → query of its values, chosen on top.
    """
    panels: list[Panel] = []
    at = 0
    for row in rows:
        height = STAT_HEIGHT if all(panel["type"] == "stat" for panel in row) else HEIGHT
        for i, panel in enumerate(row):
            place = {"x": i * WIDTH // len(row), "y": at, "w": WIDTH // len(row), "h": height}
            panels.append({"id": len(panels) + 1, "datasource": SOURCE, "gridPos": place, **panel})
        at += height
    choices = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
    ]
    choices += [
        {
            "name": label,
            "label": label.capitalize(),
            "type": "query",
            "datasource": SOURCE,
            "query": query,
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "sort": 1,
            "current": {"text": "All", "value": "$__all"},
        }
        for label, query in (variables or {}).items()
    ]
    return {
        "uid": name,
        "title": title,
        "tags": ["alsek"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": choices},
        "links": [{"type": "dashboards", "title": "Alsek", "tags": ["alsek"], "asDropdown": True, "keepTime": True}],
        "panels": panels,
    }


QUEUE = '{queue=~"$queue"}'
TASK = '{queue=~"$queue", task=~"$task"}'
OF_QUEUE = {"queue": "label_values(alsek_queue_messages, queue)"}
OF_TASK = {
    "queue": "label_values(alsek_messages_claimed_total, queue)",
    "task": 'label_values(alsek_messages_claimed_total{queue=~"$queue"}, task)',
}


def quantiles(metric: str, labels: str) -> list[Query]:
    """Median, 95th and 99th percentile of a histogram."""
    return [
        (
            f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{labels}[$__rate_interval])))",
            f"p{q[2:]:0<2}",
        )
        for q in ("0.5", "0.95", "0.99")
    ]


def p99(metric: str, labels: str, by: str) -> Query:
    """The 99th percentile of a histogram for each value of a label."""
    rated = f"sum by (le, {by}) (rate({metric}_bucket{labels}[$__rate_interval]))"
    return f"histogram_quantile(0.99, {rated})", f"{{{{{by}}}}}"


def rate(metric: str, labels: str = "", by: str = "") -> str:
    """What is counted in a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{labels}[$__rate_interval]))"


def all_dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    overview = dashboard(
        "alsek-overview",
        "Alsek: overview",
        [
            [
                stat("Ready", "short", 'sum(max by (queue) (alsek_queue_messages{state="ready"}))'),
                stat("Running", "short", 'sum(max by (queue) (alsek_queue_messages{state="running"}))'),
                stat("Oldest waits", "s", "max(alsek_queue_oldest_age_seconds)", bad_from=600),
                stat("Dead letters", "short", 'sum(max by (queue) (alsek_queue_messages{state="dead"}))', bad_from=1),
                stat("Workers", "short", 'sum(max by (state) (alsek_workers{state="running"}))'),
                stat("Redis", "short", "min(alsek_redis_up)", meaning="1 while Redis answers."),
            ],
            [
                line(
                    "Ended in a second",
                    "ops",
                    (rate("alsek_messages_succeeded_total"), "succeeded"),
                    (rate("alsek_messages_retried_total"), "to be retried"),
                    (rate("alsek_messages_failed_total"), "failed"),
                    stack=True,
                ),
                line("Waiting until it starts", "s", *quantiles("alsek_message_wait_duration_seconds", "")),
            ],
            [
                line(
                    "Messages by state",
                    "short",
                    ("sum by (state) (max by (queue, state) (alsek_queue_messages))", "{{state}}"),
                    stack=True,
                ),
                line("Slots", "short", ("max by (state) (alsek_workers_slots)", "{{state}}"), stack=True),
            ],
            [
                line(
                    "Memory of Redis",
                    "bytes",
                    ("max by (node) (alsek_redis_memory_used_bytes)", "used {{node}}"),
                    ("max by (node) (alsek_redis_memory_max_bytes) > 0", "limit {{node}}"),
                ),
                line(
                    "Requests in a second",
                    "reqps",
                    (rate("alsek_http_request_duration_seconds_count", "", "status"), "{{status}}"),
                    stack=True,
                ),
            ],
        ],
    )
    queues = dashboard(
        "alsek-queues",
        "Alsek: queues",
        [
            [
                line(
                    "Ready",
                    "short",
                    ('max by (queue) (alsek_queue_messages{queue=~"$queue", state="ready"})', "{{queue}}"),
                ),
                line(
                    "How long the head of the line waits",
                    "s",
                    (f"max by (queue) (alsek_queue_oldest_age_seconds{QUEUE})", "{{queue}}"),
                ),
            ],
            [
                line("Claimed in a second", "ops", (rate("alsek_messages_claimed_total", QUEUE, "queue"), "{{queue}}")),
                line(
                    "Waiting until it starts, p99",
                    "s",
                    p99("alsek_message_wait_duration_seconds", QUEUE, "queue"),
                ),
            ],
            [
                line(
                    "Dead letters",
                    "short",
                    ('max by (queue) (alsek_queue_messages{queue=~"$queue", state="dead"})', "{{queue}}"),
                ),
                line(
                    "Delayed",
                    "short",
                    ('max by (queue) (alsek_queue_messages{queue=~"$queue", state="delayed"})', "{{queue}}"),
                ),
            ],
            [
                line("Workers that listen", "short", (f"max by (queue) (alsek_queue_workers{QUEUE})", "{{queue}}")),
                line(
                    "Paused",
                    "short",
                    (f"max by (queue) (alsek_queue_paused{QUEUE})", "{{queue}}"),
                    meaning="1 while it is paused.",
                ),
            ],
        ],
        OF_QUEUE,
    )
    tasks = dashboard(
        "alsek-tasks",
        "Alsek: tasks",
        [
            [
                line(
                    "Succeeded in a second", "ops", (rate("alsek_messages_succeeded_total", TASK, "task"), "{{task}}")
                ),
                line(
                    "Failed for good in a second",
                    "ops",
                    (rate("alsek_messages_failed_total", TASK, "task"), "{{task}}"),
                ),
            ],
            [
                line("How long attempts run", "s", *quantiles("alsek_message_run_duration_seconds", TASK)),
                line(
                    "How long attempts run, p99",
                    "s",
                    p99("alsek_message_run_duration_seconds", TASK, "task"),
                ),
            ],
            [
                line("Retried in a second", "ops", (rate("alsek_messages_retried_total", TASK, "task"), "{{task}}")),
                line(
                    "Dead letters, revoked, snoozed in a second",
                    "ops",
                    (rate("alsek_messages_dead_lettered_total", TASK, "task"), "dead {{task}}"),
                    (rate("alsek_messages_revoked_total", TASK, "task"), "revoked {{task}}"),
                    (rate("alsek_messages_snoozed_total", TASK, "task"), "snoozed {{task}}"),
                ),
            ],
        ],
        OF_TASK,
    )
    scheduler = dashboard(
        "alsek-scheduler",
        "Alsek: scheduler",
        [
            [
                stat(
                    "Leaders",
                    "short",
                    "sum(alsek_scheduler_is_leader)",
                    bad_from=2,
                    meaning="One, but for a moment at a hand-over.",
                ),
                stat("Leadership", "short", "max(alsek_scheduler_epoch)", meaning="Grows with every leadership."),
                stat("Active schedules", "short", 'max(alsek_schedules{state="active"})'),
                stat("Broken schedules", "short", 'max(alsek_schedules{state="broken"})', bad_from=1),
            ],
            [
                line("Fires in a second", "ops", (rate("alsek_scheduler_fires_total"), "fires")),
                line("From the instant to its message", "s", *quantiles("alsek_scheduler_fire_lag_seconds", "")),
            ],
            [
                line("Who leads", "short", ("alsek_scheduler_is_leader", "{{instance}}")),
                line(
                    "Instants missed in a minute",
                    "short",
                    ("sum by (policy) (increase(alsek_scheduler_misfires_total[1m]))", "{{policy}}"),
                ),
            ],
        ],
    )
    workers = dashboard(
        "alsek-workers",
        "Alsek: workers",
        [
            [
                line("Slots", "short", ("sum by (state) (alsek_worker_slots)", "{{state}}"), stack=True),
                line("Child processes", "short", ("sum by (kind) (alsek_worker_children)", "{{kind}}"), stack=True),
            ],
            [
                line(
                    "Child processes that died in a minute",
                    "short",
                    ("sum by (kind) (increase(alsek_worker_child_deaths_total[1m]))", "{{kind}}"),
                ),
                line(
                    "Leases lost, and taken over, in a minute",
                    "short",
                    ("sum by (queue) (increase(alsek_leases_lost_total[1m]))", "lost {{queue}}"),
                    ("sum by (queue) (increase(alsek_leases_recovered_total[1m]))", "taken over {{queue}}"),
                ),
            ],
            [
                line(
                    "Round trips to Redis",
                    "s",
                    *quantiles("alsek_redis_command_duration_seconds", '{command="exchange"}'),
                ),
                line(
                    "Given back, and recovered, in a second",
                    "ops",
                    (rate("alsek_messages_released_total", "", "queue"), "given back {{queue}}"),
                    (rate("alsek_messages_recovered_total", "", "queue"), "recovered {{queue}}"),
                ),
            ],
            [
                line(
                    "Pools that reach Redis",
                    "short",
                    ("sum(alsek_worker_redis_up)", "reach it"),
                    ("count(alsek_worker_redis_up)", "of"),
                ),
                line(
                    "Releases at work",
                    "short",
                    ("count by (service, version) (alsek_build_info)", "{{service}} {{version}}"),
                ),
            ],
        ],
    )
    return {made["uid"]: made for made in (overview, queues, tasks, scheduler, workers)}


def pages() -> dict[str, str]:
    """The text of each file, by its name."""
    return {f"{name}.json": json.dumps(made, indent=2) + "\n" for name, made in all_dashboards().items()}


def main() -> None:
    """Write them all, and the chart's copies of the rules."""
    for folder in FOLDERS:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages().items():
            (folder / name).write_text(text)
    for rules in (DEPLOY / "prometheus/rules").glob("*.yaml"):
        (DEPLOY / "helm/alsek/files/rules" / rules.name).write_text(rules.read_text())


if __name__ == "__main__":
    main()
