"""For commands that start a stack and work on it: a signal unwinds them, so that all they started is stopped."""

import signal
from types import FrameType

EXIT_INTERRUPTED = 130
_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """SIGINT or SIGTERM."""


def heed_signals() -> None:
    """From now on the first SIGINT or SIGTERM raises `Interrupted` in the main thread."""
    for number in _NUMBERS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for one in _NUMBERS:
        signal.signal(one, signal.SIG_IGN)  # once is enough: everything is being stopped
    raise Interrupted
