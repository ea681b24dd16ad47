"""The whole matrix of values files: lint, notes, and each object against the schemas of several Kubernetes releases."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml
from rendering import CHART, ROOT, VALUES

if TYPE_CHECKING:
    from pathlib import Path

    from rendering import Chart

#: The oldest that the chart allows, some between, the newest that the schemas know.
RELEASES = ("1.25", "1.28", "1.31", "1.34", "1.37")

#: Kinds of others, whose schemas come with their operators.
FOREIGN = {"ScaledObject", "PodMonitor", "ServiceMonitor", "PrometheusRule", "HTTPRoute"}


def test_what_the_chart_derives_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/chart", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_object_is_one_that_kubernetes_takes(chart: Chart, values: Path) -> None:
    objects = chart.render(values)

    assert {one["kind"] for one in objects} & {"Deployment"}
    for one in objects:
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, RELEASES[0], strict=True)
            kubernetes_validate.validate(one, RELEASES[-1], strict=True)
        assert len(one["metadata"]["name"]) <= 63


@pytest.mark.heavy
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_release_takes_what_is_rendered_for_it(chart: Chart, values: Path, release: str) -> None:
    for one in chart.render(values, "--kube-version", release):
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, release, strict=True)


@pytest.mark.heavy
@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_chart_passes_lint(chart: Chart, values: Path) -> None:
    done = chart.run("lint", "--strict", str(CHART), values=values.read_text())

    assert done.returncode == 0, done.stdout


@pytest.mark.heavy
def test_the_packaged_chart_renders_alike(chart: Chart, tmp_path: Path) -> None:
    chart.package(tmp_path)
    [archive] = tmp_path.glob("alsek-*.tgz")

    rendered = chart.run("template", "rel", str(archive), "--namespace", "ns", values=VALUES[0].read_text())

    assert [one for one in yaml.safe_load_all(rendered.stdout) if one] == list(chart.render(VALUES[0]))
