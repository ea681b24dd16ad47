"""Probes and metrics over HTTP, as an orchestrator and Prometheus ask for them."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from alsek.exceptions import AddressUnavailableError, ValidationError
from alsek.tools.exposition import Exposition
from alsek.tools.probes import Address, Probes, ProbeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Address(0, "127.0.0.1")


def ask(server: ProbeServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=15)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read().decode()
    finally:
        connection.close()


class Bakery:
    """A collector of the user's."""

    loaves = 3

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily("bakery_loaves", "Loaves.", value=self.loaves)


def broken() -> tuple[bool, str]:
    raise ZeroDivisionError


PROBES = Probes(
    live={"loop": lambda: (True, "ticked 10 ms ago")},
    ready={"loop": lambda: (True, "ok"), "redis": lambda: (False, "no answer for 12 s")},
    started={"online": broken},
)


@pytest.fixture(scope="module")
def server() -> Iterator[ProbeServer]:
    with ProbeServer(HERE, PROBES, Exposition("core", Bakery())) as running:
        yield running


def test_a_probe_whose_checks_are_well_is_200(server: ProbeServer) -> None:
    status, kind, body = ask(server, "/livez")

    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"status": "ok", "checks": {"loop": {"ok": True, "reason": "ticked 10 ms ago"}}}


def test_a_probe_with_a_failing_check_is_503_and_says_which_and_why(server: ProbeServer) -> None:
    status, _, body = ask(server, "/readyz")

    assert status == 503
    assert json.loads(body)["status"] == "failing"
    assert json.loads(body)["checks"]["redis"] == {"ok": False, "reason": "no answer for 12 s"}


def test_a_check_that_breaks_fails_and_the_server_lives_on(server: ProbeServer) -> None:
    status, _, body = ask(server, "/startupz")

    assert status == 503
    assert json.loads(body)["checks"]["online"]["reason"] == "the check itself failed: ZeroDivisionError"
    assert ask(server, "/livez")[0] == 200


def test_metrics_are_text_that_prometheus_reads_with_the_build_info(server: ProbeServer) -> None:
    status, kind, body = ask(server, "/metrics")

    samples = {s.name: s for family in text_string_to_metric_families(body) for s in family.samples}
    assert status == 200
    assert kind.startswith("text/plain")
    assert samples["bakery_loaves_total"].value == 3
    assert samples["alsek_build_info"].labels["service"] == "core"


def test_metrics_come_as_openmetrics_to_whoever_prefers_that(server: ProbeServer) -> None:
    _, kind, body = ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert kind.startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_a_head_request_gets_the_status_alone(server: ProbeServer) -> None:
    assert ask(server, "/livez", "HEAD") == (200, "application/json", "")


def test_other_paths_are_404(server: ProbeServer) -> None:
    assert ask(server, "/")[0] == 404


def test_without_an_exposition_there_are_probes_and_no_metrics() -> None:
    with ProbeServer(HERE, PROBES) as server:
        assert ask(server, "/livez")[0] == 200
        assert ask(server, "/metrics")[0] == 404


def test_a_port_in_use_is_one_clear_line(server: ProbeServer) -> None:
    with pytest.raises(AddressUnavailableError, match=rf"127\.0\.0\.1:{server.port} .*: Address already in use"):
        ProbeServer(Address(server.port, "127.0.0.1"), PROBES).start()


def test_a_host_of_another_machine_is_one_clear_line() -> None:
    with pytest.raises(AddressUnavailableError, match=r"192\.0\.2\.1"):
        ProbeServer(Address(0, "192.0.2.1"), PROBES).start()


def test_after_stop_nobody_listens_and_the_port_can_be_had_again() -> None:
    first = ProbeServer(HERE, PROBES).start()
    ask(first, "/livez")
    port = first.port
    first.stop()
    first.stop()

    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) != 0
    with ProbeServer(Address(port, "127.0.0.1"), PROBES) as second:
        assert ask(second, "/livez")[0] == 200


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9100", Address(9100)),
        ("127.0.0.1:9100", Address(9100, "127.0.0.1")),
        ("[::1]:0", Address(0, "::1")),
        (9100, Address(9100)),
    ],
)
def test_an_address_is_a_port_or_a_host_with_a_port(text: str | int, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize("text", ["", "http", "localhost:", "70000", "-1", "1.5", "²"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValidationError, match="expected PORT or HOST:PORT"):
        Address.parse(text)


def test_the_variable_of_a_kubernetes_service_is_told_from_a_port() -> None:
    with pytest.raises(ValidationError, match="enableServiceLinks: false"):
        Address.parse("tcp://10.43.7.1:9100")


def test_prometheus_client_is_needed_only_for_metrics_and_named_when_it_is_missing() -> None:
    code = """
import sys
sys.modules["prometheus_client"] = None
from alsek.tools.probes import Address, Probes, ProbeServer
with ProbeServer(Address(0, "127.0.0.1"), Probes()) as server:
    assert server.port
from alsek.tools.exposition import Exposition
try:
    Exposition("core")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout == "metrics need the package prometheus_client: pip install 'alsek-core[metrics]'\n", done.stderr
