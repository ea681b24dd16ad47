"""Every toggle of the chart, one by one, on what Helm really renders."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from rendering import CHART, ROOT

from alsek.storage.backends.redis.address import read_address

if TYPE_CHECKING:
    from rendering import Chart

#: The least that renders.
LEAST: dict[str, Any] = {"redis": {"hosts": ["redis"]}, "workers": {"w": {"package": "my_app"}}}


def least(**more: Any) -> dict[str, Any]:
    """Values with additions; a section is extended, not replaced."""
    return LEAST | {
        name: LEAST.get(name, {}) | value if isinstance(value, dict) else value for name, value in more.items()
    }


def pool(**more: Any) -> dict[str, Any]:
    return least(workers={"w": {"package": "my_app"} | more})


def env(container: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container["env"]}


# ---------------------------------------------------------------- worker pools


@pytest.mark.parametrize(
    ("values", "args"),
    [
        ({}, ["worker", "my_app", "--drain-timeout", "30"]),
        ({"mechanism": "thread", "threads": 8}, ["thread-pool", "my_app", "--drain-timeout", "30", "--n-threads", "8"]),
        (
            {"mechanism": "process", "processes": 2},
            ["process-pool", "my_app", "--drain-timeout", "30", "--n-processes", "2"],
        ),
        (
            {"mechanism": "async", "concurrency": 9},
            ["async-pool", "my_app", "--drain-timeout", "30", "--concurrency", "9"],
        ),
        (
            {"queues": ["a", "b"], "fair": True},
            ["worker", "my_app", "--queues", "a,b", "--fair", "--drain-timeout", "30"],
        ),
        ({"extraArgs": ["--lease", "60"]}, ["worker", "my_app", "--drain-timeout", "30", "--lease", "60"]),
    ],
)
def test_a_pool_becomes_a_command_line(chart: Chart, values: dict[str, Any], args: list[str]) -> None:
    assert chart.render(pool(**values)).container("rel-alsek-worker-w")["args"] == args


def test_what_a_pool_says_wins_over_the_defaults_even_when_it_is_nothing(chart: Chart) -> None:
    values = least(
        workerDefaults={"fair": True, "replicas": 3}, workers={"w": {"package": "p", "fair": False, "replicas": 0}}
    )

    objects = chart.render(values)

    assert "--fair" not in objects.container("rel-alsek-worker-w")["args"]
    assert objects.named("Deployment", "rel-alsek-worker-w")["spec"]["replicas"] == 0


def test_pools_do_not_share_pods(chart: Chart) -> None:
    objects = chart.render(least(workers={"a": {"package": "p"}, "b": {"package": "p"}}))

    selectors = [
        objects.named("Deployment", f"rel-alsek-worker-{name}")["spec"]["selector"]["matchLabels"] for name in "ab"
    ]
    assert selectors[0] != selectors[1]
    for name, selector in zip("ab", selectors, strict=True):
        labels = objects.pods()[f"rel-alsek-worker-{name}"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
        assert not any("version" in key or "chart" in key for key in selector), (
            "a selector must not change at an upgrade"
        )


def test_the_grace_period_follows_from_the_drain_timeout(chart: Chart) -> None:
    objects = chart.render(pool(drainTimeout=600, graceMargin=30) | {"api": {"drainTimeout": 40, "preStopDelay": 7}})

    assert objects.pods()["rel-alsek-worker-w"]["spec"]["terminationGracePeriodSeconds"] == 630
    assert objects.pods()["rel-alsek-api"]["spec"]["terminationGracePeriodSeconds"] == 40 + 7 + 15
    assert env(objects.container("rel-alsek-api"))["ALSEK_API_DRAIN_TIMEOUT"] == "40"


def test_an_autoscaled_pool_leaves_its_size_to_the_scaler(chart: Chart) -> None:
    objects = chart.render(pool(autoscaling={"kind": "hpa", "min": 2, "max": 5, "cpuUtilization": 70}))

    assert "replicas" not in objects.named("Deployment", "rel-alsek-worker-w")["spec"]
    scaler = objects.named("HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_keda_follows_ready_and_running_messages(chart: Chart) -> None:
    scaling = {"kind": "keda", "min": 0, "max": 9, "prometheusUrl": "http://p", "messagesPerPod": 4}

    scaler = chart.render(pool(queues=["a", "b"], autoscaling=scaling)).named("ScaledObject")["spec"]

    assert (scaler["minReplicaCount"], scaler["maxReplicaCount"]) == (0, 9)
    [trigger] = scaler["triggers"]
    assert 'queue=~"a|b"' in trigger["metadata"]["query"]
    assert 'state=~"ready|running"' in trigger["metadata"]["query"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert scaler["fallback"]["replicas"] == 0


def test_keda_asks_the_api_for_seconds_of_backlog(chart: Chart) -> None:
    scaling = {"kind": "keda", "signal": "replicas", "authenticationRef": "key", "fallbackReplicas": 3}

    scaler = chart.render(pool(queues=["a", "b"], autoscaling=scaling)).named("ScaledObject")["spec"]

    assert [one["metadata"]["url"] for one in scaler["triggers"]] == [
        f"http://rel-alsek-api.ns.svc:80/v1/scaling/{queue}" for queue in "ab"
    ]
    assert all(one["authenticationRef"] == {"name": "key"} for one in scaler["triggers"])
    assert scaler["fallback"]["replicas"] == 3


def test_budgets_are_as_chosen(chart: Chart) -> None:
    usual = chart.render(LEAST)
    assert usual.named("PodDisruptionBudget", "rel-alsek-worker-w")["spec"]["maxUnavailable"] == 1
    assert usual.named("PodDisruptionBudget", "rel-alsek-scheduler")["spec"]["minAvailable"] == 1

    chosen = chart.render(
        pool(pdb={"minAvailable": "50%"}) | {"scheduler": {"replicas": 1}, "api": {"pdb": {"enabled": False}}}
    )
    [budget] = chosen.of_kind("PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budget["spec"]


# ---------------------------------------------------------------- Redis


@pytest.mark.parametrize(
    ("redis", "url"),
    [
        ({"hosts": ["r"]}, "redis://r/0"),
        ({"hosts": ["r:6380"], "database": 3}, "redis://r:6380/3"),
        ({"hosts": ["r"], "tls": {"enabled": True}}, "rediss://r/0"),
        ({"mode": "sentinel", "hosts": ["a", "b:1"], "sentinelName": "main"}, "redis+sentinel://a,b:1/main?db=0"),
        (
            {"mode": "cluster", "hosts": ["a:7000", "b:7000"], "tls": {"enabled": True}},
            "rediss+cluster://a:7000,b:7000",
        ),
        ({"url": "unset"}, ""),
    ],
)
def test_the_address_is_one_that_the_services_understand(chart: Chart, redis: dict[str, Any], url: str) -> None:
    if not url:
        assert "redis.url must begin with" in chart.refusal(LEAST | {"redis": redis})
        return
    given = env(chart.render(LEAST | {"redis": redis}).container("rel-alsek-worker-w"))["ALSEK_REDIS_URL"]

    assert given == url
    target = read_address(given)
    assert target.kind == {"standalone": "single"}.get(redis.get("mode", "standalone"), redis.get("mode"))
    assert target.tls == redis.get("tls", {}).get("enabled", False)


def test_each_service_has_its_own_user_and_nobody_sees_a_password(chart: Chart) -> None:
    users = {role: {"username": f"alsek-{role}", "passwordKey": f"{role}-pw"} for role in ("worker", "api")}
    objects = chart.render(least(redis={"hosts": ["r"], "username": "rest", "existingSecret": "s", "users": users}))

    for owner, user, key in [
        ("rel-alsek-worker-w", "alsek-worker", "worker-pw"),
        ("rel-alsek-api", "alsek-api", "api-pw"),
        ("rel-alsek-scheduler", "rest", "redis-password"),
    ]:
        container, spec = objects.container(owner), objects.pods()[owner]["spec"]
        assert env(container)["ALSEK_REDIS_USERNAME"] == user
        assert env(container)["ALSEK_REDIS_PASSWORD_FILE"] == "/etc/alsek/redis/password"
        [volume] = [one for one in spec["volumes"] if one["name"] == "redis-password"]
        assert volume["secret"]["secretName"] == "s"
        assert volume["secret"]["items"] == [{"key": key, "path": "password"}]


def test_certificates_are_mounted_and_named(chart: Chart) -> None:
    tls = {"enabled": True, "caSecret": "ca", "clientSecret": "mine"}

    container = chart.render(least(redis={"hosts": ["r"], "tls": tls})).container("rel-alsek-worker-w")

    given = env(container)
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    for name in ("ALSEK_REDIS_CA_FILE", "ALSEK_REDIS_CERT_FILE", "ALSEK_REDIS_KEY_FILE"):
        assert given[name].rpartition("/")[0] in mounted


def test_the_trial_valkey_keeps_what_it_is_given(chart: Chart) -> None:
    objects = chart.render({"valkey": {"enabled": True, "maxMemory": "64mb"}, "workers": {"w": {"package": "p"}}})

    config = objects.named("ConfigMap", "rel-alsek-valkey")["data"]["valkey.conf"]
    assert "appendonly yes" in config
    assert "maxmemory-policy noeviction" in config
    assert "maxmemory 64mb" in config
    secret = objects.named("Secret", "rel-alsek-valkey")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert objects.named("StatefulSet")["spec"]["volumeClaimTemplates"]
    assert env(objects.container("rel-alsek-worker-w"))["ALSEK_REDIS_URL"] == "redis://rel-alsek-valkey:6379/0"


def test_no_password_is_ever_a_default(chart: Chart) -> None:
    rendered = [
        chart.render({"valkey": {"enabled": True}, "alsek": {"environment": {"N": str(n)}}}).named("Secret")["data"]
        for n in range(2)
    ]

    assert rendered[0]["redis-password"] != rendered[1]["redis-password"]
    assert not chart.render(LEAST).of_kind("Secret")


# ---------------------------------------------------------------- pods


def test_every_pod_is_restricted(chart: Chart) -> None:
    objects = chart.render(least(exporter={"enabled": True}, api={"firstKeySecret": {"name": "k", "key": "t"}}))

    for owner, pod in objects.pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, owner
        assert spec["enableServiceLinks"] is False, owner
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, container["name"]
            assert context["readOnlyRootFilesystem"] is True, container["name"]
            assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
            assert container["resources"]["limits"]["memory"], container["name"]
            assert container["resources"]["requests"], container["name"]


def test_every_service_is_probed_by_http(chart: Chart) -> None:
    objects = chart.render(least(exporter={"enabled": True}, probes={"startup": 60, "period": 7, "timeout": 2}))

    for owner in ("rel-alsek-worker-w", "rel-alsek-scheduler", "rel-alsek-api", "rel-alsek-exporter"):
        container = objects.container(owner)
        [port] = container["ports"]
        for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}
            assert container[probe]["timeoutSeconds"] == 2
        assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 60


def test_the_preflight_uses_the_credentials_of_its_service(chart: Chart) -> None:
    objects = chart.render(least(redis={"hosts": ["r"], "existingSecret": "s"}, preflight={"args": ["--json"]}))

    for pod in objects.pods().values():
        doctor = pod["spec"]["initContainers"][0]
        assert (doctor["name"], doctor["args"]) == ("doctor", ["--json"])
        assert "alsek doctor" in doctor["command"][2]
        assert env(doctor) == env(pod["spec"]["containers"][0])
    usual = [pod["spec"]["initContainers"][0] for pod in chart.render(LEAST).pods().values()]
    assert [doctor["args"] for doctor in usual] == [[]] * 3, "the doctor is told what is meant for the service"
    assert not any(
        "initContainers" in pod["spec"] for pod in chart.render(least(preflight={"enabled": False})).pods().values()
    )


def test_the_first_key_is_made_known_before_the_api_starts(chart: Chart) -> None:
    objects = chart.render(least(api={"firstKeySecret": {"name": "k", "key": "t"}}))

    spec = objects.pods()["rel-alsek-api"]["spec"]
    [keeper] = [one for one in spec["initContainers"] if one["name"] == "first-key"]
    path = keeper["args"][keeper["args"].index("--token-file") + 1]
    assert path.rpartition("/")[0] in {one["mountPath"] for one in keeper["volumeMounts"]}
    assert "/etc/alsek/first-key" not in {one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}


@pytest.mark.parametrize("change", [{"alsek": {"logLevel": "DEBUG"}}, {"alsek": {"environment": {"A": "b"}}}])
def test_a_change_of_configuration_rolls_the_pods(chart: Chart, change: dict[str, Any]) -> None:
    before, after = chart.render(LEAST).pods(), chart.render(LEAST | change).pods()

    for owner in before:
        assert (
            before[owner]["metadata"]["annotations"]["checksum/config"]
            != after[owner]["metadata"]["annotations"]["checksum/config"]
        )


def test_everything_can_be_added_to_a_pod(chart: Chart) -> None:
    objects = chart.render(CHART / "ci/everything-values.yaml")

    pod = objects.pods()["shop-queue-worker-a"]
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert container["image"] == "registry.internal/my-app:1.4.2"
    assert env(container)["RELEASE"] == "rel"
    assert {"secretRef": {"name": "my-app"}} in container["envFrom"]
    assert {"name": "cache", "mountPath": "/cache"} in container["volumeMounts"]
    assert {"name": "cache", "emptyDir": {}} in spec["volumes"]
    assert [one["name"] for one in spec["initContainers"]] == ["doctor", "wait"]
    assert [one["name"] for one in spec["containers"]] == ["worker", "proxy"]
    assert pod["metadata"]["annotations"]["example.internal/a"] == "b"
    assert pod["metadata"]["labels"]["example.internal/c"] == "d"
    assert pod["metadata"]["labels"]["team"] == "shop"
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "batch", "operator": "Exists"}]
    assert "nodeAffinity" in spec["affinity"]
    [spread] = spec["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["alsek/pool"] == "a"
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("batch", "gvisor")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert objects.pods()["shop-queue-worker-b"]["spec"]["containers"][0]["image"].startswith(
        "registry.internal/my-app@sha256:"
    )
    assert objects.named("ConfigMap", "rel-mine")["data"] == {"a": "1"}
    assert objects.named("ConfigMap", "mine-too")


# ---------------------------------------------------------------- scheduler, exporter, api


def test_two_schedulers_keep_apart(chart: Chart) -> None:
    def affinity(kind: str) -> Any:
        pod = chart.render(least(scheduler={"antiAffinity": kind})).pods()["rel-alsek-scheduler"]
        return pod["spec"].get("affinity", {}).get("podAntiAffinity", {})

    assert chart.render(LEAST).named("Deployment", "rel-alsek-scheduler")["spec"]["replicas"] == 2
    assert list(affinity("soft")) == ["preferredDuringSchedulingIgnoredDuringExecution"]
    assert list(affinity("hard")) == ["requiredDuringSchedulingIgnoredDuringExecution"]
    assert affinity("none") == {}


def test_services_can_be_left_out(chart: Chart) -> None:
    objects = chart.render(LEAST | {"scheduler": {"enabled": False}, "api": {"enabled": False}, "workers": {}})

    assert not objects.pods()
    assert not objects.of_kind("Service")
    assert not objects.of_kind("Pod")


def test_the_api_can_be_opened(chart: Chart) -> None:
    closed, opened = chart.render(LEAST), chart.render(least(api={"insecureNoAuth": True, "openMetrics": True}))

    assert "--insecure-no-auth" not in closed.container("rel-alsek-api")["args"]
    assert {"--insecure-no-auth", "--open-metrics"} <= set(opened.container("rel-alsek-api")["args"])


def test_ports_and_services_fit_together(chart: Chart) -> None:
    objects = chart.render(least(api={"service": {"port": 8080, "type": "NodePort"}}))

    service = objects.named("Service", "rel-alsek-api")["spec"]
    assert service["ports"][0]["port"] == 8080
    assert service["ports"][0]["targetPort"] in {one["name"] for one in objects.container("rel-alsek-api")["ports"]}
    assert service["selector"].items() <= objects.pods()["rel-alsek-api"]["metadata"]["labels"].items()


# ---------------------------------------------------------------- network, monitoring, publishing


def test_the_network_is_closed_but_for_what_is_needed(chart: Chart) -> None:
    objects = chart.render(
        least(networkPolicy={"redisTo": [{"podSelector": {"matchLabels": {"app": "redis"}}}], "redisPorts": [7000]})
    )

    deny = objects.named("NetworkPolicy", "rel-alsek-deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not deny.keys() & {"ingress", "egress"}
    for pod in objects.pods().values():
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    names, redis = objects.named("NetworkPolicy", "rel-alsek-redis")["spec"]["egress"]
    assert {one["port"] for one in names["ports"]} == {53}
    assert redis["to"] == [{"podSelector": {"matchLabels": {"app": "redis"}}}]
    assert redis["ports"] == [{"port": 7000, "protocol": "TCP"}]
    assert not chart.render(least(networkPolicy={"enabled": False})).of_kind("NetworkPolicy")


def test_helm_test_reaches_the_api_whoever_else_may(chart: Chart) -> None:
    objects = chart.render(least(networkPolicy={"apiFrom": [], "scrapeFrom": []}))

    [rule] = objects.named("NetworkPolicy", "rel-alsek-api")["spec"]["ingress"]
    [peer] = rule["from"]
    labels = objects.named("Pod", "rel-alsek-smoke")["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= labels.items()
    out = objects.named("NetworkPolicy", "rel-alsek-test")["spec"]
    assert out["podSelector"]["matchLabels"].items() <= labels.items()
    assert out["egress"][0]["ports"] == rule["ports"]


def test_tasks_reach_what_they_are_given(chart: Chart) -> None:
    rule = {"ports": [{"port": 443, "protocol": "TCP"}]}

    objects = chart.render(least(networkPolicy={"workerEgress": [rule]}))

    policy = objects.named("NetworkPolicy", "rel-alsek-tasks")["spec"]
    assert policy["egress"] == [rule]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"


def test_everything_is_scraped_under_the_names_that_rules_know(chart: Chart) -> None:
    values = least(
        exporter={"enabled": True},
        api={"openMetrics": True},
        monitoring={"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    )
    objects = chart.render(values)

    pods = objects.named("PodMonitor")["spec"]
    assert pods["podMetricsEndpoints"][0]["relabelings"][0]["replacement"] == "alsek-$1"
    assert set(pods["selector"]["matchExpressions"][0]["values"]) == {"worker", "scheduler", "exporter"}
    assert objects.named("ServiceMonitor")["spec"]["endpoints"][0]["relabelings"][0]["replacement"] == "alsek-api"


def test_rules_and_dashboards_are_those_of_the_repository(chart: Chart) -> None:
    objects = chart.render(least(monitoring={"rules": {"enabled": True}, "dashboards": {"enabled": True}}))

    groups = [
        group for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]  # fmt: skip
    assert objects.named("PrometheusRule")["spec"]["groups"] == groups
    shipped = {
        name: text for one in objects.of_kind("ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "1" for name, text in one["data"].items()
    }  # fmt: skip
    assert shipped == {path.name: path.read_text() for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}


def test_the_api_is_published_by_ingress_and_by_gateway(chart: Chart) -> None:
    values = least(
        ingress={"enabled": True, "host": "h", "tlsSecret": "t", "className": "nginx"},
        gateway={"enabled": True, "parentRefs": [{"name": "g"}], "hostnames": ["h"]},
    )
    objects = chart.render(values)

    ingress = objects.named("Ingress")["spec"]
    assert ingress["tls"] == [{"hosts": ["h"], "secretName": "t"}]
    assert ingress["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] == "rel-alsek-api"
    route = objects.named("HTTPRoute")["spec"]
    assert route["rules"][0]["backendRefs"] == [{"name": "rel-alsek-api", "port": 80}]


# ---------------------------------------------------------------- helm test


def test_helm_test_submits_the_task_that_it_is_given(chart: Chart) -> None:
    values = least(test={"task": "add", "queue": "q", "kwargs": {"a": 1}, "apiKeySecret": {"name": "k", "key": "t"}})
    objects = chart.render(values)

    pod = objects.named("Pod", "rel-alsek-smoke")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "k", "key": "t"}
    message = json.loads(objects.named("ConfigMap", "rel-alsek-smoke")["data"]["message.json"])
    assert message == {"task": "add", "queue": "q", "kwargs": {"a": 1}}


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "no Redis: set redis.hosts"),
        ({"valkey": {"enabled": True}, "redis": {"hosts": ["r"]}}, "choose the trial Valkey or your own Redis"),
        ({"redis": {"hosts": ["r"], "url": "redis://r"}}, "set one of them"),
        ({"redis": {"url": "redis://u:secret@r"}}, "put it into a secret"),
        ({"redis": {"url": "http://r"}}, "must begin with"),
        ({"redis": {"mode": "sentinel", "hosts": ["r"]}}, "redis.sentinelName"),
        ({"redis": {"hosts": ["a", "b"]}}, "redis.mode sentinel or cluster"),
        ({"redis": {"mode": "cluster", "hosts": ["a"], "database": 1}}, "database 0 only"),
        ({"redis": {"hosts": ["a"], "username": "u"}}, "need redis.existingSecret"),
        ({"redis": {"hosts": ["a"], "tls": {"caSecret": "c"}}}, "redis.tls.enabled=true"),
        ({"redis": {"url": "redis://a", "tls": {"enabled": True}}}, "begins with rediss"),
        (pool(package=""), "workers.w.package is missing"),
        (least(workers={"Bad_Name": {"package": "p"}}), "workers.Bad_Name: a pool's name"),
        (pool(autoscaling={"min": 5, "max": 2}), "min 5 is above max 2"),
        (pool(autoscaling={"kind": "hpa", "min": 0}), "only keda scales to 0"),
        (pool(autoscaling={"kind": "keda"}), "needs workers.w.queues"),
        (pool(queues=["q"], autoscaling={"kind": "keda"}), "autoscaling.prometheusUrl is missing"),
        (pool(queues=["q"], autoscaling={"kind": "keda", "signal": "replicas"}), "authenticationRef is missing"),
        (pool(mechanism="process", threads=3), "workers.w.threads means nothing"),
        (pool(mechanism="thread", concurrency=3), "workers.w.concurrency means nothing"),
        (pool(pdb={"minAvailable": 1, "maxUnavailable": 1}), "set the other one to null"),
        (pool(mechanism="fibre"), "mechanism"),
        (pool(replica=3), "replica"),
        (least(wrokers={}), "wrokers"),
        (least(ingress={"enabled": True}), "ingress.host is missing"),
        (least(ingress={"enabled": True, "host": "h"}), "ingress.tlsSecret is missing"),
        (least(api={"enabled": False}, ingress={"enabled": True, "host": "h"}), "api.enabled=true"),
        (least(api={"insecureNoAuth": True}, gateway={"enabled": True}), "let the world run tasks"),
        (least(gateway={"enabled": True}), "gateway.parentRefs is missing"),
        (least(monitoring={"serviceMonitor": {"enabled": True}}), "bearerSecret is missing"),
        (least(test={"task": "add"}), "test.apiKeySecret is missing"),
        (least(api={"firstKeySecret": {"name": "k"}}), "needs name and key"),
        (least(api={"insecureNoAuth": True, "firstKeySecret": {"name": "k", "key": "t"}}), "set one of them"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_one_line_that_names_the_value(
    chart: Chart, values: dict[str, Any], words: str
) -> None:
    assert words in chart.refusal(values)
