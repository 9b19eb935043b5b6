"""Reading the environment, and saying everything that is wrong with it at once.

Each reader returns a usable value or notes a problem and returns a harmless stand-in; `check` then raises
one `ImproperlyConfigured` that names every wrong setting and what to set, so that an operator mends them
in one go instead of one restart each.
"""

import os
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from django.core.exceptions import ImproperlyConfigured

_problems: list[str] = []


def problem(name: str, what: str) -> None:
    _problems.append(f"{name}: {what}")


def text(name: str, default: str | None = None, *, hint: str = "") -> str:
    # As it stands: a library would take a value that begins with $ for the name of another variable.
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        problem(name, f"is not set. Set it to {hint}")
        return ""
    return default


def flag(name: str, default: bool) -> bool:
    value = text(name, "1" if default else "0").lower()
    if value not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
        problem(name, f"is {value!r}. Set it to 0 or 1")
    return value in {"1", "true", "yes", "on"}


def number(name: str, default: float, *, low: float, high: float) -> float:
    raw = text(name, str(default))
    try:
        value = float(raw)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        problem(name, f"is {raw!r}. Set it to a number from {low:.15g} to {high:.15g}")
        return default
    return value


def whole(name: str, default: int, *, low: int, high: int) -> int:
    value = number(name, default, low=low, high=high)
    if value != int(value):
        problem(name, f"is {value}. Set it to a whole number from {low} to {high}")
    return int(value)


def choice(name: str, default: str, choices: Sequence[str]) -> str:
    value = text(name, default)
    if value not in choices:
        problem(name, f"is {value!r}. Set it to one of {', '.join(choices)}")
        return default
    return value


def listing(name: str, default: Sequence[str] = ()) -> list[str]:
    raw = text(name, ",".join(default))
    return [part.strip() for part in raw.split(",") if part.strip()]


def secret(name: str, *, hint: str, shortest: int = 32) -> str:
    value = text(name, hint=hint)
    if value and len(value) < shortest:
        problem(name, f"has {len(value)} characters. Set it to {hint}")
    return value


def url(name: str, default: str | None = None, *, schemes: Sequence[str], hint: str) -> SplitResult:
    raw = text(name, default, hint=hint)
    if not raw:
        return urlsplit("")
    try:
        parts = urlsplit(raw)
        good = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        # The value may hold a password: it is not repeated.
        problem(name, f"cannot be read. Set it to {hint}")
        return urlsplit("")
    return parts


def check() -> None:
    if _problems:
        # Kept: Django swallows the first error of some commands and imports the settings a second time.
        lines = "\n".join(f"  - {line}" for line in _problems)
        raise ImproperlyConfigured(f"Nova cannot start with these settings:\n{lines}")
