"""What an address says, what the environment adds to it, and what a wrong one is told; nothing is connected here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
import redis.sentinel

from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from alsek.storage.backends.redis.address import ENV_VARS, read_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ENV_VARS.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    return str(path)


def _settings(url: str) -> dict[str, Any]:
    return RedisBackend(url).settings


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("redis+cluster://a", [["a", 6379]]),
        ("redis+cluster://a:7000,b,[::1]:7002", [["a", 7000], ["b", 6379], ["::1", 7002]]),
        ("redis+cluster://user:p%40ss@a,b/0", [["a", 6379], ["b", 6379]]),
    ],
)
def test_a_cluster_is_named_by_some_of_its_nodes(url: str, nodes: list[list[Any]]) -> None:
    assert _settings(url)["cluster"] == nodes
    assert AsyncRedisBackend(url).settings["cluster"] == nodes


def test_sentinels_are_asked_for_the_primary_of_a_name() -> None:
    url = "redis+sentinel://user:p%40ss@a,b:26380/tasks?db=3&sentinel_username=watch&sentinel_password=w%20w"

    told = _settings(url)

    assert told["sentinel"]["nodes"] == [["a", 26379], ["b", 26380]]
    assert told["sentinel"]["service"] == "tasks"
    assert told["sentinel"]["master"] is True
    assert told["sentinel"]["options"]["username"] == "watch"
    assert told["sentinel"]["options"]["password"] == "w w"
    assert told["connection"]["username"] == "user"
    assert told["connection"]["password"] == "p@ss"
    assert told["connection"]["db"] == 3
    twin = RedisBackend.from_settings(told)
    assert twin.settings == told
    assert isinstance(twin.conn.connection_pool, redis.sentinel.SentinelConnectionPool)


def test_the_environment_completes_what_an_address_leaves_out(
    monkeypatch: pytest.MonkeyPatch, secret_file: str
) -> None:
    monkeypatch.setenv("ALSEK_REDIS_USERNAME", "worker")
    monkeypatch.setenv("ALSEK_REDIS_PASSWORD_FILE", secret_file)

    told = _settings("redis://host")
    said = _settings("redis://other:word@host")
    of_cluster = _settings("redis+cluster://host")

    assert (told["connection"]["username"], told["connection"]["password_file"]) == ("worker", secret_file)
    assert "password" not in told["connection"]
    assert (said["connection"]["username"], said["connection"]["password"]) == ("other", "word")
    assert "password_file" not in said["connection"]
    assert of_cluster["connection"]["password_file"] == secret_file


def test_a_password_file_is_read_anew_for_each_connection(secret_file: str, tmp_path: Path) -> None:
    backend = RedisBackend(f"redis://worker@host?password_file={secret_file}")
    twin = RedisBackend.decode(backend.encode())
    (tmp_path / "password").write_text("changed\n")

    for one in (backend, twin):
        provider = one.new_connection().credential_provider
        assert provider.get_credentials() == ("worker", "changed")


def test_tls_files_go_to_every_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ca, cert, key = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    for path in (ca, cert, key):
        (tmp_path / path).write_text("x")
    monkeypatch.setenv("ALSEK_REDIS_CA_FILE", ca)

    single = _settings(f"rediss://host?cert_file={cert}&key_file={key}")
    cluster = _settings("rediss+cluster://host")
    sentinel = _settings("rediss+sentinel://host/tasks")
    plain = _settings("redis://host")

    expected = {"ssl_ca_certs": ca, "ssl_certfile": cert, "ssl_keyfile": key}
    assert expected.items() <= single["connection"].items()
    assert cluster["tls"]
    assert cluster["connection"]["ssl_ca_certs"] == ca
    assert sentinel["tls"]
    assert sentinel["connection"]["ssl_ca_certs"] == ca
    assert sentinel["sentinel"]["options"]["ssl_ca_certs"] == ca
    assert sentinel["sentinel"]["options"]["ssl"] is True
    assert "ssl_ca_certs" not in plain["connection"]


def test_a_unix_socket_has_a_path_a_user_and_a_database() -> None:
    target = read_address("unix://worker:word@/run/redis.sock?db=2")

    assert target.options == {"path": "/run/redis.sock", "db": 2, "username": "worker", "password": "word"}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://a,b", "lacks the name"),
        ("redis+sentinel://a,b/", "lacks the name"),
        ("redis+cluster://a/3", "only the database 0"),
        ("redis+cluster://a?db=1", "only the database 0"),
        ("redis+cluster://a:port", "is no address"),
        ("redis+other://a", "is no address"),
        ("redis+cluster+x://a", "is no address"),
        ("sentinel://a/name", "is no address"),
        ("redis://a,b", "names several hosts"),
        ("redis://a?password_file=/no/such/file", r"the password file '/no/such/file' cannot be read: No such file"),
        ("rediss://a?ca_file=/no/such/ca", r"the certificate file '/no/such/ca' cannot be read: No such file"),
        ("redis://a?ca_file=/etc/hostname", "certificates belong to TLS"),
        ("redis+sentinel://a/n?sentinel_password_file=/no/file", "the password file '/no/file' cannot be read"),
        ("redis+cluster://a?no_such_option=1", "no_such_option"),
    ],
)
@pytest.mark.parametrize("backend_class", [RedisBackend, AsyncRedisBackend])
def test_a_wrong_address_is_told_in_one_line(backend_class: type, url: str, told: str) -> None:
    url = url.replace("://", "://user:s3cret@", 1)
    if "password_file=/no/such" in url:
        url = url.replace(":s3cret", "", 1)

    with pytest.raises(ValueError, match=told) as caught:
        backend_class(url)

    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_password_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")

    with pytest.raises(ValueError, match="is empty"):
        RedisBackend(f"redis://host?password_file={empty}")


def test_no_secret_is_shown(secret_file: str) -> None:
    urls = [
        "redis://user:s3cret@host",
        "redis+cluster://:s3cret@host",
        "redis+sentinel://:s3cret@host/n?sentinel_password=s3cret",
        f"redis://host?password_file={secret_file}",
    ]

    for url in urls:
        backend = RedisBackend(url)
        shown = [repr(backend), repr(read_address(url)), str(read_address(url)), repr(AsyncRedisBackend(url))]
        assert "s3cret" not in " ".join(shown)


def test_clients_of_a_cluster_are_taken_as_they_are() -> None:
    client = redis.asyncio.RedisCluster(host="host", port=7000, password="word", ssl=True)

    told = AsyncRedisBackend(client).settings

    assert told["cluster"] == [["host", 7000]]
    assert told["tls"]
    assert told["connection"]["password"] == "word"
