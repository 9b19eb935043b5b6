"""How deep JSON is nested. Who writes a value of a thousand levels out again, by any library, runs out of stack."""

from itertools import chain
from typing import Any

# Nothing that Nova reads needs more than a few.
DEEPEST = 50


def is_deeper(value: Any) -> bool:
    """Whether lists and objects lie within each other more than `DEEPEST` levels deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        nests = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        if not nests:
            return False
        level = list(chain.from_iterable(nests))
    return True
