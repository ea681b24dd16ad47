"""Finding tasks in real modules on disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from alsek.exceptions import NoTasksFoundError, TaskImportError, TaskNameCollisionError
from alsek.utils.scanning import collect_tasks

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

TASK = """
from alsek.core.task import Task

def {name}():
    return 1

{variable} = Task({name}, broker=None, name="{name}")
"""

Write = Callable[[dict[str, str]], None]


def task(name: str, variable: str | None = None) -> str:
    return TASK.format(name=name, variable=variable or f"{name}_task")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the current folder; forget them afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sys.path_importer_cache.clear()

    yield write
    for name in set(sys.modules) - known:
        if not name.startswith("alsek"):
            del sys.modules[name]


def names(module: str | ModuleType) -> list[str]:
    return [one.name for one in collect_tasks(module)]


def test_a_module_of_the_current_folder_is_found(write: Write) -> None:
    write({"my_tasks.py": task("add")})

    assert names("my_tasks") == ["add"]


def test_a_package_is_searched_to_its_depths_and_in_its_inits(write: Write) -> None:
    write(
        {
            "shop/__init__.py": task("one"),
            "shop/mail.py": task("two"),
            "shop/deep/__init__.py": task("three"),
            "shop/deep/deeper/__init__.py": "",
            "shop/deep/deeper/well.py": task("four"),
        }
    )

    assert sorted(names("shop")) == ["four", "one", "three", "two"]
    assert names("shop.deep.deeper") == ["four"]


def test_a_module_object_will_do(write: Write) -> None:
    write({"my_tasks.py": task("add")})
    collect_tasks("my_tasks")

    assert names(sys.modules["my_tasks"]) == ["add"]


def test_a_task_imported_elsewhere_counts_once(write: Write) -> None:
    write(
        {
            "shop/__init__.py": "from shop.mail import mail_task\n",
            "shop/mail.py": task("mail"),
            "shop/other.py": "from shop.mail import mail_task as alias\n",
        }
    )

    assert names("shop") == ["mail"]


def test_programs_are_not_run(write: Write) -> None:
    write({"shop/__init__.py": task("one"), "shop/__main__.py": "raise SystemExit('ran')\n"})

    assert names("shop") == ["one"]


def test_two_tasks_under_one_variable_collide(write: Write) -> None:
    write({"shop/__init__.py": "", "shop/a.py": task("one", "job"), "shop/b.py": task("two", "job")})

    with pytest.raises(TaskNameCollisionError, match=r"'job' in module 'shop\.b'"):
        collect_tasks("shop")


def test_two_tasks_of_one_name_collide(write: Write) -> None:
    write({"shop/__init__.py": "", "shop/a.py": task("same", "x"), "shop/b.py": task("same", "y")})

    with pytest.raises(TaskNameCollisionError, match="named 'same'") as caught:
        collect_tasks("shop")

    assert caught.value.name == "same"


def test_a_module_without_tasks_says_so(write: Write) -> None:
    write({"empty.py": "x = 1\n"})

    with pytest.raises(NoTasksFoundError, match="'empty'"):
        collect_tasks("empty")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def (\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
def test_a_module_that_fails_to_import_is_named_with_the_reason(write: Write, text: str, says: str) -> None:
    write({"shop/__init__.py": "", "shop/broken.py": text})

    with pytest.raises(TaskImportError, match=r"Could not import 'shop\.broken'") as caught:
        collect_tasks("shop")

    assert says in str(caught.value)
    assert caught.value.module == "shop.broken"
    assert caught.value.__cause__ is not None


def test_a_module_that_is_not_there_is_told_apart(write: Write) -> None:
    write({})

    with pytest.raises(TaskImportError, match="there is no module 'not_here'"):
        collect_tasks("not_here.tasks")


def test_a_file_name_is_answered_with_the_name_of_the_module(write: Write) -> None:
    write({"shop/mail.py": task("mail")})

    for name in ("shop/mail.py", "shop/mail", "./shop/mail.py"):
        with pytest.raises(TaskImportError, match=r"'shop\.mail'"):
            collect_tasks(name)


@pytest.mark.parametrize("module", [None, 3, ["my_tasks"]])
def test_anything_else_is_a_type_error(module: object) -> None:
    with pytest.raises(TypeError):
        collect_tasks(module)  # type: ignore[arg-type]
