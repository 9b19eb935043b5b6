"""A stack of a benchmark's own, in a folder that is empty before, and gone after unless something failed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from embedded.paths import default_var
from embedded.runner import lock, tidy
from embedded.testing import Stack, start_stack


@contextmanager
def own_stack(name: str, *, keep: bool = False) -> Iterator[Stack]:
    """Engines with their data in a folder of that name under `var`. keep: leave the data behind, as is done when the
    block raises an Exception: the logs say why. Raises StackError when something cannot start, or when the same
    benchmark runs already."""
    var = default_var() / name
    # What a run that was killed, or failed, has left, its processes among it.
    with lock(var):
        tidy(var)
        shutil.rmtree(var)
    try:
        with start_stack(var) as stack:
            yield stack
    except Exception:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(var, ignore_errors=True)
