"""What operators type, right and wrong."""

from argparse import ArgumentTypeError

import pytest

from ingestion.management.asked import above_zero, confirmed, group, seconds


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "-inf", "1e999", "", "ten"])
def test_no_rate(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no number above 0"):
        above_zero(text)


@pytest.mark.parametrize("text", ["-0.5", "nan", "inf", "soon"])
def test_no_time(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no number of seconds"):
        seconds(text)


@pytest.mark.parametrize("text", ["", " ", "events ", "a\nb", "x" * 101])
def test_no_group(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is no name of 1 to 100 characters"):
        group(text)


def test_groups() -> None:
    assert [group(name) for name in ("events", "events 2", "x" * 100)] == ["events", "events 2", "x" * 100]


def test_numbers() -> None:
    assert (above_zero("0.5"), seconds("0"), seconds("90")) == (0.5, 0.0, 90.0)


@pytest.mark.parametrize(("typed", "is_it"), [("move", True), (" move \n", True), ("yes", False), ("", False)])
def test_the_word(monkeypatch, typed: str, is_it: bool) -> None:
    monkeypatch.setattr("builtins.input", lambda _: typed)
    assert confirmed("Type 'move': ", "move") is is_it


def test_the_end_of_the_input_confirms_nothing(monkeypatch) -> None:
    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    assert not confirmed("Type 'move': ", "move")
