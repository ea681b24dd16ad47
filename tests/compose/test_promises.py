"""What compose.yaml and the Dockerfiles promise, read from the files; what an engine makes of them is in test_stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {"doctor", "worker-orders", "worker-reports", "scheduler", "keys", "api", "storefront"}

#: They run once, or have nothing that could be asked.
UNASKED = {"doctor", "keys", "storefront"}

DOCKERFILES = sorted((ROOT / "services").glob("*/Dockerfile"))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service.get("read_only") or name == "grafana"
    assert (name in UNASKED) == ("test" not in service["healthcheck"])
    assert {one["condition"] for one in service.get("depends_on", {}).values()} <= {
        "service_healthy", "service_completed_successfully",
    }  # fmt: skip


def test_only_the_api_and_grafana_are_published_and_by_default_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {
        "api": ["${ALSEK_BIND:-127.0.0.1}:${ALSEK_API_PORT:-8000}:8000"],
        "grafana": ["${ALSEK_BIND:-127.0.0.1}:${GRAFANA_PORT:-3000}:3000"],
    }


def test_each_service_is_a_user_of_redis_with_a_password_from_a_file() -> None:
    users = {name: SERVICES[name]["environment"]["ALSEK_REDIS_USERNAME"] for name in OURS}

    assert users == {
        "doctor": "worker", "worker-orders": "worker", "worker-reports": "worker", "scheduler": "scheduler",
        "keys": "api", "api": "api", "storefront": "producer",
    }  # fmt: skip
    for name, user in users.items():
        assert SERVICES[name]["environment"]["ALSEK_REDIS_PASSWORD_FILE"] == "/run/secrets/redis_password"
        assert {"source": f"redis_password_{user}", "target": "redis_password"} in SERVICES[name]["secrets"]


def test_the_doctor_has_been_before_anything_uses_redis() -> None:
    def before(name: str) -> set[str]:
        named = set(SERVICES[name].get("depends_on", {}))
        return named.union(*map(before, named))

    assert all("doctor" in before(name) for name in OURS - {"doctor"})
    assert before("doctor") == {"valkey"}


@pytest.mark.parametrize("name", ["worker-orders", "worker-reports"])
def test_a_stop_takes_longer_than_a_drain(name: str) -> None:
    grace, drain = SERVICES[name]["stop_grace_period"], SERVICES[name]["environment"]["ALSEK_DRAIN_TIMEOUT"]

    assert int(grace.removesuffix("s")) > int(drain)


def test_what_is_stored_survives_and_is_never_thrown_away() -> None:
    valkey = (ROOT / "deploy/redis/valkey.conf").read_text()

    assert {"appendonly yes", "maxmemory-policy noeviction"} <= set(valkey.splitlines())
    assert "valkey:/data" in SERVICES["valkey"]["volumes"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_dockerfile_fetches_only_what_is_hashed_and_names_no_base_of_its_own(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    installs = re.findall(r"pip install ([^&\n]*)", text)
    final = text.rpartition("\nFROM ")[2]

    assert bases == ["${BUILD_IMAGE}", "${RUNTIME_IMAGE}"]
    assert installs
    assert all("--require-hashes" in one or "--no-index" in one for one in installs), installs
    assert not re.search(r"\b(apt|apt-get|apk|curl|wget|pip)\b", final)
    assert "USER 10001:10001" in final


def test_every_service_is_built_by_the_dockerfile_beside_it() -> None:
    assert [path.parent.name for path in DOCKERFILES] == ["api", "scheduler", "worker"]
    built = {SERVICES[name]["build"]["dockerfile"] for name in OURS}
    assert built == {f"services/{path.parent.name}/Dockerfile" for path in DOCKERFILES}
