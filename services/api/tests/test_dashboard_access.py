"""Who gets in, who may do what, and what a foreign page cannot make a browser do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from dashboard_site import Visitor, visible
from itsdangerous import URLSafeTimedSerializer

from alsek_api.auth.keys import id_in
from alsek_api.dashboard.access import COOKIE
from harness.eventually import eventually

if TYPE_CHECKING:
    from api_stage import Stage
    from dashboard_site import Site

PAGES = ("/", "/queues", "/queues/shown", "/messages", "/dead-letters", "/login")


def test_a_visitor_without_a_session_is_led_to_the_log_in_and_back(site: Site) -> None:
    visitor = Visitor(site.running)

    answer = visitor.get("/messages?queue=mail&state=dead")
    log_in = visitor.get(answer.headers["location"])
    inside = visitor.client.post("/login", data={"key": site.keys["read"], "next": "/messages?queue=mail&state=dead"})

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=%2Fmessages")
    assert "API key" in visible(log_in.text)
    assert inside.headers["location"] == "/messages?queue=mail&state=dead"


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_log_in_leads_only_to_pages_of_ours(site: Site, target: str) -> None:
    answer = Visitor(site.running).client.post("/login", data={"key": site.keys["read"], "next": target})

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("key", ["", "ak_000000000000_" + "x" * 43, "nonsense", "ak_" + "9" * 400])
def test_a_wrong_key_does_not_get_in(site: Site, key: str) -> None:
    visitor = Visitor(site.running)

    answer = visitor.client.post("/login", data={"key": key, "next": "/"})

    assert answer.status_code in (401, 422)
    assert COOKIE not in visitor.client.cookies


def test_a_key_that_may_not_read_does_not_get_in(site: Site) -> None:
    answer = Visitor(site.running).client.post("/login", data={"key": site.keys["blind"], "next": "/"})

    assert answer.status_code == 403
    assert "lacks the scope read" in visible(answer.text)


def test_the_cookie_is_signed_hidden_from_scripts_and_kept_from_other_sites(site: Site) -> None:
    answer = Visitor(site.running).client.post("/login", data={"key": site.keys["read"], "next": "/"})

    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert site.keys["read"].rpartition("_")[2] not in cookie


def test_a_forged_cookie_is_worth_nothing(site: Site) -> None:
    key_id = id_in(site.keys["admin"])
    forged = URLSafeTimedSerializer(b"guess" * 8, salt="alsek.session").dumps([key_id, "nonce"])

    for value in (forged, f"{forged}x", "x", str(forged)[:-3]):
        client = httpx.Client(base_url=site.running.url, cookies={COOKIE: str(value)})
        assert client.get("/").status_code == 303
        client.close()


def test_a_revoked_key_ends_its_sessions(site: Site) -> None:
    token = site.stage.key("read")
    visitor = Visitor(site.running, token)
    assert visitor.get("/").status_code == 200

    site.stage.keys.revoke(token)

    eventually(lambda: visitor.get("/").status_code == 303, timeout=15)


def test_logging_out_ends_the_session(site: Site) -> None:
    visitor = site.visitor("read")

    said = visitor.send("/", "/logout")

    assert "You are logged out." in said
    assert visitor.get("/").status_code == 303


def test_a_reader_sees_no_buttons_and_may_not_press_them(site: Site) -> None:
    message = site.submit("shown")
    letter = site.kill("shown")
    reader, operator = site.visitor("read"), site.visitor("operate")
    actions = {
        action
        for path in (
            "/queues/shown",
            f"/messages/{message.uuid}",
            f"/messages/{letter.uuid}",
            "/dead-letters?queue=shown",
        )
        for action in operator.forms(path)
        if action != "/logout"
    }
    token = reader.token()

    for path in (
        "/",
        "/queues",
        "/queues/shown",
        f"/messages/{message.uuid}",
        f"/messages/{letter.uuid}",
        "/dead-letters",
    ):
        assert set(reader.forms(path)) <= {"/logout"}, path
    refused = {action: reader.client.post(action, data={"token": token}).status_code for action in sorted(actions)}

    assert len(refused) >= 6
    assert set(refused.values()) == {403}


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_is_refused_although_it_knows_the_token(site: Site, headers: dict[str, str]) -> None:
    message = site.submit("guarded")
    visitor = site.visitor()
    fields = visitor.forms(f"/messages/{message.uuid}")[f"/messages/{message.uuid}/revoke"]

    answer = visitor.client.post(f"/messages/{message.uuid}/revoke", data=fields, headers=headers)

    assert answer.status_code == 403
    assert "Nothing was done" in visible(answer.text)
    assert "It is ready" in visible(visitor.page(f"/messages/{message.uuid}"))


def test_a_form_needs_the_token_of_its_own_session(site: Site) -> None:
    message = site.submit("guarded")
    mine, theirs = site.visitor(), site.visitor()
    action = f"/messages/{message.uuid}/revoke"

    answers = [mine.client.post(action, data=data) for data in ({}, {"token": "0" * 64}, {"token": theirs.token()})]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert mine.client.post(action, json={"token": mine.token()}).status_code == 415


def test_forms_have_bounds(site: Site) -> None:
    visitor = site.visitor()

    large = visitor.client.post("/login", data={"key": "x" * 300_000})
    many = visitor.client.post("/login", data={f"f{number}": "x" for number in range(1_000)})

    assert large.status_code == 413
    assert many.status_code == 422


def test_a_key_limited_to_queues_sees_and_touches_only_those(site: Site) -> None:
    mine, other = site.submit("mailbox"), site.submit("vault", name="open_vault")
    visitor = site.visitor("mail")

    pages = visitor.page("/") + visitor.page("/queues") + visitor.page("/messages") + visitor.page("/dead-letters")

    assert "mailbox" in pages
    assert "vault" not in pages
    assert visitor.get("/queues/vault").status_code == 404
    assert visitor.get("/messages?queue=vault").status_code == 404
    assert visitor.get(f"/messages/{other.uuid}").status_code == 404
    token = visitor.token()
    assert visitor.client.post(f"/messages/{other.uuid}/revoke", data={"token": token}).status_code == 404
    assert visitor.client.post("/queues/vault/pause", data={"token": token, "reason": "x"}).status_code == 404
    replay = visitor.client.post("/dead-letters/replay", data={"token": token, "queue": "vault"})
    assert replay.status_code == 404
    assert visitor.get(f"/messages/{mine.uuid}").status_code == 200


@pytest.mark.parametrize("path", [*PAGES, "/messages/none", "/nothing/here", "/static/app.css", "/static/../page.py"])
def test_every_page_has_strict_headers_and_nothing_inline(site: Site, path: str) -> None:
    answer = site.visitor("read").get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    if "html" in answer.headers.get("content-type", ""):
        assert "no-store" in answer.headers["cache-control"]
        scripts = re.findall(r"<script\b([^>]*)>([^<]*)", answer.text)
        assert all("src=" in attributes and not body.strip() for attributes, body in scripts)
        assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=|javascript:", answer.text)
        assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text)


def test_pages_load_their_files_from_here_and_browsers_may_keep_them(site: Site) -> None:
    visitor = site.visitor("read")

    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', visitor.page("/"))
    answers = {name: visitor.get(name) for name in files}

    assert any("htmx" in name for name in files), "run `make assets`"
    assert all(answer.status_code == 200 for answer in answers.values())
    assert all("immutable" in answer.headers["cache-control"] for answer in answers.values())


NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'-alert(3)-'",
    "{{7*191}}{% raw %}",
    "</textarea><svg onload=alert(4)>",
    "javascript:alert(5)",
    "\u2028\u0000\x1b[31m",
)


def test_what_tasks_carry_is_text_and_never_markup(site: Site) -> None:
    message = site.submit("nasty", *NASTY, list(NASTY), dict.fromkeys(NASTY, NASTY[0]))
    site.kill("nasty", *NASTY)
    visitor = site.visitor()

    for path in (
        "/",
        "/queues/nasty",
        "/messages?queue=nasty",
        f"/messages/{message.uuid}",
        "/dead-letters?queue=nasty",
    ):
        page = visitor.page(path)
        for markup in ("<script>alert", "<img src=x", "<svg onload"):
            assert markup not in page, path
        assert "1337" not in page, path


def test_without_keys_this_machine_is_let_in_but_forms_are_guarded_all_the_same(stage: Stage) -> None:
    running = stage.serve()
    visitor = Visitor(running)

    page = visitor.page("/")

    assert "No log-in needed" in visible(page)
    assert visitor.client.post("/logout", data={}).status_code == 403
    assert visitor.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_while_redis_is_away_the_page_says_so_and_comes_back(stage: Stage) -> None:
    token = stage.key("read")
    running = stage.serve()
    visitor = Visitor(running, token)
    assert visitor.get("/").status_code == 200

    stage.server.stop()
    away = eventually(lambda: answer if (answer := visitor.get("/")).status_code == 503 else None, timeout=30)
    stage.server.restart()

    assert "Redis does not answer" in visible(away.text)
    assert int(away.headers["retry-after"]) > 0
    eventually(lambda: visitor.get("/").status_code == 200, timeout=30)
