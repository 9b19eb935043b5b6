"""What an operator says: numbers among the arguments, and the word that confirms."""

import math
from argparse import ArgumentTypeError


def above_zero(text: str) -> float:
    """A number above zero, and no infinite one. For argparse."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def seconds(text: str) -> float:
    """A number of seconds, perhaps none. For argparse."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def confirmed(question: str, word: str) -> bool:
    """Whether `word` is typed; an end of the input is none."""
    try:
        return input(question).strip() == word
    except EOFError:
        return False
