"""Recording exceptions, and rebuilding them when asked."""

from __future__ import annotations

import pytest

from alsek.defaults import MAX_EXCEPTION_TEXT
from alsek.exceptions import RevokedError
from alsek.utils.parsing import ExceptionDetails, get_exception_name, parse_exception


class Outer:
    class InnerError(Exception):
        pass


class NeedsTwoError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first}, {second}")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_builtins_are_recorded_by_their_bare_name() -> None:
    details = parse_exception(raised(ZeroDivisionError("division by zero")))

    assert details.name == "ZeroDivisionError"
    assert details.text == "division by zero"
    assert details.traceback is not None
    assert details.traceback.startswith("Traceback (most recent call last)")
    assert "in raised\n    raise error\nZeroDivisionError: division by zero" in details.traceback


def test_other_classes_are_recorded_by_their_dotted_path() -> None:
    assert get_exception_name(RevokedError()) == "alsek.exceptions.RevokedError"
    assert get_exception_name(Outer.InnerError()) == f"{__name__}.Outer.InnerError"


def test_the_cause_is_part_of_the_traceback() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first
    except ValueError as error:
        details = parse_exception(error)

    assert details.traceback is not None
    assert "KeyError: 'first'" in details.traceback
    assert "direct cause" in details.traceback


def test_an_exception_that_cannot_be_printed_is_recorded() -> None:
    details = parse_exception(raised(UnprintableError()))

    assert details.text is not None
    assert "could not be printed" in details.text


def test_a_long_text_keeps_its_head_and_tail() -> None:
    details = parse_exception(raised(ValueError("head" + "x" * 5_000_000 + "tail")))

    for text in (details.text, details.traceback):
        assert text is not None
        assert len(text) <= MAX_EXCEPTION_TEXT
        assert "characters left out" in text
        assert text.rstrip().endswith("tail")
    assert details.text is not None
    assert details.text.startswith("head")


def test_texts_are_valid_unicode() -> None:
    details = parse_exception(raised(ValueError("half \ud800")))

    assert details.text == "half \\ud800"
    assert details.traceback is not None
    details.traceback.encode()


@pytest.mark.parametrize(
    "error", [ValueError("x"), RevokedError("Task Revoked"), Outer.InnerError("y"), SystemExit("z")]
)
def test_an_exception_is_rebuilt_by_its_name(error: BaseException) -> None:
    rebuilt = parse_exception(error).as_exception()

    assert type(rebuilt).__qualname__ == type(error).__qualname__
    assert str(rebuilt) == str(error)


def test_a_constructor_that_wants_more_is_passed_over() -> None:
    rebuilt = parse_exception(NeedsTwoError(1, 2)).as_exception()

    assert type(rebuilt).__qualname__ == "NeedsTwoError"
    assert str(rebuilt) == "1, 2"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "nowhere.Error", "os.system", "os", "builtins.eval", "int", "alsek.exceptions", "a..b", "ü.ö"],
)
def test_names_of_other_things_are_refused_or_fall_back(name: str) -> None:
    details = ExceptionDetails(name, "text")

    with pytest.raises(ImportError):
        details.as_exception()

    fallback = details.as_exception(strict=False)
    assert type(fallback) is Exception
    assert str(fallback) == f"{name}: text"


def test_details_are_three_texts() -> None:
    assert ExceptionDetails("A").as_dict() == {"name": "A", "text": None, "traceback": None}
