"""Every code block of the documentation runs, in the order in which a reader meets it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.page import Block, DirectiveError, parse_page, read_page
from docs.runner import PageRunner
from harness.server import free_port

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in (
        "README.md",
        "MIGRATION.md",
        "docs/**/*.md",
        "packages/*/README.md",
        "services/*/README.md",
    )
    for path in ROOT.glob(pattern)
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_runs(page: str, redis_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()

    # Readers let the API have its usual port; here, pages are read side by side.
    port = str(free_port())
    environment = {"ALSEK_REDIS_URL": redis_url, "ALSEK_API_PORT": port, "API": f"http://localhost:{port}"}
    # A reader has none of our plugins, which take seconds to import.
    environment["PYTEST_ADDOPTS"] = "-p no:schemathesis -p no:hypothesispytest"
    with PageRunner(folder, environment) as runner:
        for block in read_page(ROOT / page, page):
            runner.run(block)


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_into_the_repository_leads_somewhere(page: str) -> None:
    prose = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!\w+:)([^)#\s]+)", prose)

    lost = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]

    assert not lost


def run_text(text: str, folder: Path) -> None:
    folder.mkdir()
    with PageRunner(folder, {}) as runner:
        for block in parse_page(text, "page.md"):
            runner.run(block)


def test_blocks_of_a_page_share_their_names_and_folder(tmp_path: Path) -> None:
    text = """
<!-- file: numbers_of_mine.py -->
```python
seven = 7
```
```python
from numbers_of_mine import seven
double = 2 * seven
```
```python
assert double == 14
print("double", double, "at", "2024-01-01 10:00:00.123")
```
<!-- output -->
```text
double 14 at 2030-12-31 23:59:59
```
```shell
test -f numbers_of_mine.py
```
"""
    run_text(text, tmp_path / "page")


def test_a_background_command_is_awaited_and_ended(tmp_path: Path) -> None:
    (tmp_path / "program.sh").write_text("trap 'echo bye; exit 0' TERM\necho ready\nwhile true; do sleep 0.05; done\n")
    text = """
<!-- run: background until "ready" -->
```shell
bash ../program.sh
```
"""
    run_text(text, tmp_path / "page")

    assert (tmp_path / "page.log").read_text() == "ready\nbye\n"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("```python\nx = 1\n1 / 0\n```", "page.md:2: failed"),
        ("```shell\nfalse\ntrue\n```", "page.md:2: failed"),
        ("<!-- fails: no such thing -->\n```python\n1 / 0\n```", "was to fail with"),
        (
            "```python\nprint('one')\n```\n<!-- output -->\n```text\ntwo\n```",
            "page.md:6: was not printed: 'two'",
        ),
    ],
)
def test_a_block_that_does_not_do_what_it_says_fails_with_its_place(block: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=message):
        run_text(block, tmp_path / "page")


@pytest.mark.parametrize("text", ["<!-- skip: -->\n```python\n```", "<!-- file: a.py -->\n\nprose\n"])
def test_a_directive_without_reason_or_block_is_refused(text: str) -> None:
    with pytest.raises(DirectiveError):
        parse_page(text, "page.md")


def test_a_block_with_a_reason_to_skip_is_not_executed() -> None:
    [block] = parse_page("<!-- skip: needs a cluster -->\n```python\n1 / 0\n```", "page.md")

    assert isinstance(block, Block)
    assert block.action == "nothing"
