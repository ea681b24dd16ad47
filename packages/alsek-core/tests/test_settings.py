"""Settings: flag > environment > file > default, through the real program."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

import pytest

from alsek.cli.cli import main
from alsek.exceptions import ValidationError
from alsek.settings import SHARED, SharedSettings, env_var, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ALSEK_")]:
        monkeypatch.delenv(name)
    # What the program exports for its children must not outlive the test.
    for name in ("redis_url", "namespace", "partitions"):
        monkeypatch.setenv(env_var(name), "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alsek.toml"
    path.write_text(
        """
redis_url = "redis://app:geheim@redis.internal:6379/3"
log_format = "json"
drain_timeout = 60

[worker]
queues = ["urgent", "mail"]
n-threads = 16
drain_timeout = 90

[scheduler]
misfire_grace = 30
"""
    )
    return path


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, tuple[object, str]]:
    """What `--show-config` says: value and source of each setting that is set."""
    with pytest.raises(SystemExit) as end:
        main([*args, "--show-config"], prog_name="alsek")
    text = capsys.readouterr().out
    assert end.value.code in (0, None), text
    values = tomllib.loads(text)
    sources = {}
    for line in text.splitlines():
        if " = " in line:
            sources[line.partition(" = ")[0]] = line.rpartition("# ")[2]
    return {name: (value, sources[name]) for name, value in values.items()}


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*args], prog_name="alsek")
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.startswith("alsek: ")
    assert error.count("\n") == 1
    return error


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("ALSEK_LOG_LEVEL", "debug")
    monkeypatch.setenv("ALSEK_LOG_FORMAT", "console")
    monkeypatch.setenv("ALSEK_LEASE", "5")

    found = shown(capsys, "worker", "my_tasks", "--config", str(file), "--lease", "7")

    assert found["lease"] == (7.0, "flag")
    assert found["log_format"] == ("console", "ALSEK_LOG_FORMAT")
    assert found["log_level"][1] == "ALSEK_LOG_LEVEL"
    assert found["n_threads"] == (16, "file")
    assert found["concurrency"] == (100, "default")


def test_what_is_said_of_one_command_beats_what_is_said_of_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("ALSEK_LEASE", "5")
    monkeypatch.setenv("ALSEK_WORKER_LEASE", "6")
    monkeypatch.setenv("ALSEK_CONFIG", str(file))

    worker = shown(capsys, "worker", "my_tasks")
    threads = shown(capsys, "thread-pool", "my_tasks")

    assert (worker["lease"], worker["drain_timeout"]) == ((6.0, "ALSEK_WORKER_LEASE"), (90.0, "file"))
    assert (threads["lease"], threads["drain_timeout"]) == ((5.0, "ALSEK_LEASE"), (60.0, "file"))


def test_a_list_in_the_file_is_what_commas_are_on_the_command_line(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    assert shown(capsys, "worker", "my_tasks", "--config", str(file))["queues"] == ("urgent,mail", "file")


def test_the_redis_of_the_file_is_that_of_brokers_that_name_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.delenv("ALSEK_REDIS_URL")

    shown(capsys, "worker", "my_tasks", "--config", str(file))

    assert os.environ.pop("ALSEK_REDIS_URL") == "redis://app:geheim@redis.internal:6379/3"


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    from alsek.cli.configuration import masked

    assert masked("url", "redis://app:geheim@redis.internal:6379/3") == "redis://app:***@redis.internal:6379/3"
    assert masked("redis_password", "geheim") == "***"
    assert masked("queues", "a,b") == "a,b"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('log_levle = "INFO"', "unknown setting `log_levle`; did you mean `log_level`?"),
        ("[worker]\nn_thread = 3", "unknown setting `n_thread` in [worker]; did you mean `n_threads`?"),
        ("[wroker]\nn_threads = 3", "unknown table [wroker]; did you mean `worker`?"),
        ("[worker]\nn_threads = 'many'", "`n_threads`: Input should be a valid integer"),
        ("[worker]\nn_threads = true", "`n_threads` cannot be True"),
        ("lease = 0", "`lease`: "),
        ("lease = ", "is not TOML: Invalid value"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "alsek.toml"
    path.write_text(text)

    error = refused(capsys, "worker", "my_tasks", "--config", str(path))

    assert str(path) in error
    assert complaint in error


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    error = refused(capsys, "queues", "--config", str(tmp_path / "none.toml"))

    assert error == f"alsek: the settings file {tmp_path}/none.toml cannot be read: No such file or directory\n"


def test_a_bad_value_in_the_environment_is_one_line_that_names_the_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSEK_LEASE", "soon")

    assert refused(capsys, "worker", "my_tasks").startswith("alsek: ALSEK_LEASE: ")


def test_a_variable_that_kubernetes_made_of_a_service_is_no_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSEK_WORKER_LEASE", "tcp://10.43.7.1:80")

    assert shown(capsys, "worker", "my_tasks").get("lease") is None


def test_commands_that_look_take_the_shared_settings_and_nothing_else_from_outside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("ALSEK_REDIS_URL", redis_url)
    monkeypatch.setenv("ALSEK_NAMESPACE", "elsewhere")
    monkeypatch.setenv("ALSEK_QUEUES_AS_JSON", "1")

    with pytest.raises(SystemExit):
        main(["queues"], prog_name="alsek")

    assert capsys.readouterr().out == "No queue has had a message in namespace elsewhere yet.\n"


def test_programs_read_the_same_settings(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("ALSEK_CONFIG", str(file))
    monkeypatch.setenv("ALSEK_PARTITIONS", "4")
    monkeypatch.setenv("ALSEK_METRICS_PORT", "9100")

    settings = load()

    assert settings.metrics_port == "9100"
    assert settings == SharedSettings(
        redis_url="redis://app:geheim@redis.internal:6379/3", partitions=4, metrics_port="9100", log_format="json",
        drain_timeout=60.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("partitions = 'two'", "`partitions`: expected a whole number, not 'two'"),
        ("namespace = true", "expected text, not True"),
    ],
)
def test_programs_are_told_of_a_mistake_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "alsek.toml"
    path.write_text(text)

    with pytest.raises(ValidationError, match=complaint):
        load(path)


def test_every_shared_setting_has_a_variable_of_its_own() -> None:
    assert env_var("redis_url") == "ALSEK_REDIS_URL"
    assert len({env_var(name) for name in SHARED}) == len(SHARED)


def test_a_group_of_a_service_takes_its_own_options_from_outside_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "alsek.toml"
    path.write_text("[api]\nport = 8080\n")
    monkeypatch.setenv("ALSEK_API_HOST", "::1")

    found = shown(capsys, "api", "--config", str(path))

    assert found["host"] == ("::1", "ALSEK_API_HOST")
    assert found["port"] == (8080, "file")
