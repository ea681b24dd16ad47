"""Keys that a secret store made: the token comes in a file, Redis keeps its hash as of any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek_api.auth.keys import make_key
from harness.processes import alsek

if TYPE_CHECKING:
    from pathlib import Path

    from api_stage import Stage


def test_a_token_from_a_file_becomes_a_key_however_often_it_is_given(stage: Stage, tmp_path: Path) -> None:
    token, _ = make_key("made elsewhere", ["read"])
    file = tmp_path / "api_key"
    file.write_text(f"{token}\n")
    command = alsek("api", "keys", "create", "first", "--scope", "admin", "--token-file", str(file))

    for _ in range(2):
        made = stage.processes.start(command, env={"ALSEK_REDIS_URL": stage.server.url})
        assert made.wait(timeout=120) == 0
        assert token not in made.log

    [(record, _)] = stage.keys.all()
    assert (record.name, record.scopes) == ("first", ("admin",))
    running = stage.serve("--host", "0.0.0.0")
    assert stage.client(running, token).get("/v1/openapi.json").status_code == 200
    assert stage.client(running, make_key("other", ["admin"])[0]).get("/v1/openapi.json").status_code == 401


@pytest.mark.parametrize("content", ["", "hunter2", "ak_0123456789ab_short", "ak_0123456789ab_" + "x" * 44])
def test_what_is_no_token_is_refused_in_one_line_that_does_not_repeat_it(
    stage: Stage, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "api_key"
    file.write_text(content)

    made = stage.processes.start(
        alsek("api", "keys", "create", "first", "--scope", "admin", "--token-file", str(file)),
        env={"ALSEK_REDIS_URL": stage.server.url},
    )

    assert made.wait(timeout=120) == 2
    assert "a token is ak_" in made.log
    assert not content or content not in made.log
    assert stage.keys.all() == []
