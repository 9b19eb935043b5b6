"""How a benchmark ends when it is interrupted: all that it started is stopped, and nothing is written."""

import sys
from collections.abc import Callable

from embedded.interrupted import EXIT_INTERRUPTED, Interrupted, heed_signals


def run(main: Callable[[], int]) -> int:
    """The exit code of `main`; 130 after SIGINT or SIGTERM."""
    heed_signals()
    try:
        return main()
    except Interrupted:
        print("interrupted: everything is stopped, nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
