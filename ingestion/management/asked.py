"""What an operator says: numbers and names among the arguments, and the word that confirms."""

import math
from argparse import ArgumentTypeError

from ingestion.models import Offset


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


def group(text: str) -> str:
    """The name of a consumer group, which is also the ledger's. For argparse."""
    longest = Offset._meta.get_field("consumer").max_length or 0
    if not 0 < len(text) <= longest or not text.isprintable() or text != text.strip():
        raise ArgumentTypeError(f"{text!r} is no name of 1 to {longest} characters")
    return text


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
