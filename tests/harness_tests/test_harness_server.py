"""The server fixture dies, freezes and comes back as told, and is never left behind."""

import os
import re
import shutil
import signal
import socket
import threading

import pytest
import redis

from harness.eventually import eventually
from harness.processes import Processes, python
from harness.procfs import running
from harness.server import Server, free_port


def test_a_started_server_is_durable_and_never_evicts(server: Server) -> None:
    client = server.client()

    answers = {name: server.config_get(name) for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")}

    assert answers == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": ""}
    assert client.ping()


def test_a_killed_server_comes_back_with_its_data_on_the_same_port(own_server: Server) -> None:
    client = own_server.client()
    port = own_server.port
    for number in range(200):
        client.set(f"key:{number}", number)

    own_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_server.restart()

    assert own_server.port == port
    assert client.dbsize() == 200


def test_a_stopped_server_comes_back_with_its_data(own_server: Server) -> None:
    own_server.client().set("key", "value")

    own_server.stop()
    own_server.start()

    assert own_server.client().get("key") == b"value"


def test_a_start_waits_until_the_data_is_loaded() -> None:
    with Server(config={"key-load-delay": 300, "loading-process-events-interval-bytes": 1024}) as server:
        client = server.client()
        for number in range(1500):
            client.rpush(f"key:{number}", "x" * 64)

        server.restart()

        assert server.info("persistence")["loading"] == 0
        assert client.dbsize() == 1500


def test_a_paused_server_answers_nobody_until_resumed(server: Server) -> None:
    client = server.client(socket_timeout=0.1)

    with server.paused(), pytest.raises(redis.TimeoutError):
        client.ping()

    assert server.client().ping()


def test_a_paused_server_can_be_killed_and_restarted(own_server: Server) -> None:
    own_server.pause()

    own_server.kill()
    own_server.restart()

    assert own_server.client().ping()


def test_reset_restores_settings_process_and_emptiness(own_server: Server) -> None:
    own_server.client().set("key", "value")
    own_server.config_set("maxmemory", "100mb")
    own_server.pause()

    own_server.reset()

    assert own_server.config_get("maxmemory") == "0"
    assert own_server.client().dbsize() == 0


def test_reset_revives_a_killed_server(own_server: Server) -> None:
    own_server.kill()

    own_server.reset()

    assert own_server.client().ping()


def test_settings_hold_for_a_block_only(server: Server) -> None:
    with server.configured({"maxmemory": 1}), pytest.raises(redis.exceptions.OutOfMemoryError):
        server.client().set("key", "value")

    assert server.client().set("key", "value")


def test_a_password_is_part_of_the_url() -> None:
    with Server(password="s3cret") as server:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(f"redis://127.0.0.1:{server.port}").ping()

        assert server.client().ping()


def test_memory_commands_and_cpu_are_measured(server: Server) -> None:
    client = server.client()
    before = server.commands_processed()
    client.rpush("list", *range(1000))

    assert server.memory("list") > 1000
    assert server.memory("nothing") == 0
    assert server.commands_processed() - before >= 3
    assert server.cpu_us() > 0


def test_a_server_that_cannot_start_shows_its_log() -> None:
    server = Server(config={"appendfsync": "sometimes"})

    with pytest.raises(RuntimeError, match="sometimes"):
        server.start()

    server.close()


def test_a_server_restarted_by_a_thread_outlives_the_thread(own_server: Server) -> None:
    thread = threading.Thread(target=own_server.restart)
    thread.start()
    thread.join()

    assert own_server.client().ping()
    assert own_server.alive


def test_a_server_dies_with_a_killed_test_process(processes: Processes) -> None:
    parent = processes.start(python("-m", "harness_tests.children", "server_parent"))
    found = re.search(r"pid=(\d+) dir=(\S+)", parent.wait_for_line("server pid="))
    assert found
    pid = int(found[1])
    assert running(pid)

    os.kill(parent.pid, signal.SIGKILL)

    eventually(lambda: not running(pid), 2)
    shutil.rmtree(found[2])


def test_reset_revives_a_server_busy_with_a_script(own_server: Server) -> None:
    client = own_server.client(socket_timeout=0.1)
    own_server.config_set("busy-reply-threshold", 1)
    with pytest.raises(redis.TimeoutError):
        client.eval("redis.call('SET', KEYS[1], 1) while true do end", 1, "key")

    own_server.reset()

    assert own_server.client().dbsize() == 0


def test_free_ports_lie_below_the_ephemeral_range() -> None:
    port = free_port()

    assert 15000 <= port < 32000
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_connections_are_gone_only_after_their_work_is_done(server: Server) -> None:
    newest = server.newest_connection()
    client = server.client()
    client.ping()
    assert server.newest_connection() > newest

    client.close()

    server.wait_disconnected(newest)
