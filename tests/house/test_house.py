"""The rules of the house that a machine can judge; the reasons stand in CONTRIBUTING.md."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])
SOURCES = sorted(path for project in PROJECTS for path in (project.parent / "src").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("packages/*/src/**/*.lua"))

LONGEST_MODULE = 350
#: Modules that may be longer, each with the reason.
LONG_MODULES: dict[str, str] = {}

NAMELESS = {"utils", "helpers", "common", "manager", "base"}
#: Import paths that upstream published: kept as doors for programs that move over.
DOORS = {"alsek/utils"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_path(path: Path) -> str:
    """Where a source file stands below its `src`."""
    return path.relative_to(next(parent for parent in path.parents if parent.name == "src")).as_posix()


def metadata(project: Path) -> dict[str, object]:
    return dict(tomllib.loads(project.read_text())["project"])


def kept_files() -> list[Path]:
    """What stands, or is about to stand, in the repository: tracked files and new ones that are not ignored."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so nobody knows which files belong to the repository")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower().replace("_", "-")


def test_every_distribution_has_the_same_version() -> None:
    versions = {relative(project): metadata(project)["version"] for project in PROJECTS}

    assert len(set(versions.values())) == 1, versions


def test_the_installed_core_says_the_version_of_its_project() -> None:
    import alsek

    declared = metadata(ROOT / "packages/alsek-core/pyproject.toml")["version"]

    assert alsek.__version__ == version("alsek-core") == declared


def test_services_require_the_core_of_their_own_version() -> None:
    for project in PROJECTS:
        facts = metadata(project)
        if facts["name"] != "alsek-core":
            assert f"alsek-core=={facts['version']}" in facts["dependencies"], relative(project)


def test_every_dependency_is_pinned_with_hashes() -> None:
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
        pinned = {requirement_name(block) for block in blocks}

        assert all("==" in block and "--hash=sha256:" in block for block in blocks), name
        for project in PROJECTS:
            facts = metadata(project)
            extras = facts.get("optional-dependencies", {})
            # What tests need is no part of what runs Alsek.
            chosen = [
                one for extra, names in extras.items() if (extra, name) != ("testing", "run.txt") for one in names
            ]
            wanted = [*facts["dependencies"], *chosen]
            missing = {requirement_name(one) for one in wanted} - pinned - {"alsek-core"}
            assert not missing, f"{relative(project)} needs {missing}: add to requirements/run.in, then `make lock`"


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    hosts = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "npmjs" + ".org",
        "crates" + ".io",
        "golang" + ".org",
    ]
    options = [
        "--index" + "-url",
        "--extra-index" + "-url",
        "--find" + "-links=",
        "--trusted" + "-host",
    ]
    places = ["/ro" + "ot/", "/Us" + "ers/"]
    forbidden = re.compile("|".join(map(re.escape, [*hosts, *options, *places])))

    found = [
        f"{relative(path)}:{number}: {match[0]}"
        for path in kept_files()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), start=1)
        if (match := forbidden.search(line))
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_says_why_it_exists_and_is_readable_in_one_sitting(path: Path) -> None:
    text = path.read_text()

    assert ast.get_docstring(ast.parse(text)), "no module docstring"
    limit = LONGEST_MODULE if relative(path) not in LONG_MODULES else 2 * LONGEST_MODULE
    assert len(text.splitlines()) <= limit, f"more than {limit} lines: it has two roles"


def test_no_module_hides_behind_a_name_that_says_nothing() -> None:
    nameless = [
        relative(path)
        for path in SOURCES
        if {*path.parts[:-1], path.stem} & NAMELESS and not any(module_path(path).startswith(door) for door in DOORS)
    ]

    assert not nameless


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_a_script_states_its_contract_on_top(path: Path) -> None:
    lines = path.read_text().splitlines()
    comments = itertools.takewhile(lambda line: line.startswith("--"), lines[lines[0].startswith("#!lua") :])
    contract = "\n".join(comments)

    assert "KEYS" in contract or "include: _" in contract, "the keys are listed neither here nor in what it includes"
    assert "Returns" in contract or path.stem.startswith("_"), "the answer is not described"


def test_every_module_of_the_core_stands_on_a_floor() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {name.strip(" ()") for layer in layers for name in layer.split(":")}

    homeless = []
    for path in (ROOT / "packages/alsek-core/src/alsek").rglob("*.py"):
        name = module_path(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        is_empty_package = path.stem == "__init__" and not re.search(r"^(from|import) ", path.read_text(), re.MULTILINE)
        if name != "alsek" and not is_empty_package and not any(f"{name}.".startswith(f"{floor}.") for floor in floors):
            homeless.append(name)

    assert not homeless, f"give them a floor in [tool.importlinter]: {sorted(homeless)}"


def test_every_verb_explains_itself_and_every_verb_of_the_docs_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    explained = set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")]
    mentioned = {
        verb for page in pages for verb in re.findall(r"(?:`|^)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
    }

    assert explained == set(phony.split())
    assert mentioned <= explained
