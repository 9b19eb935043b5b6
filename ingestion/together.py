"""One insert for all who wait: threads with a few rows each share the cost of a write, as a database's group commit."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Group(Generic[T]):
    """What goes into one write. `ended` is set when it is done, or has failed with `error`."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self.ended = threading.Event()
        self.error: BaseException | None = None


class Together(Generic[T]):
    """Runs `write` for one group at a time; whoever comes meanwhile forms the next group.

    write: stores all items or raises; must be safe to repeat, since every thread of a group that failed tries again.
    most: items of one group at most, unless one thread alone brings more. apart: seconds from the start of one write to
    the next at least, so that a steady trickle makes few writes; the first after a pause does not wait.
    """

    def __init__(self, write: Callable[[list[T]], None], *, most: int, apart: float = 0.0) -> None:
        self._write, self._most, self._apart = write, most, apart
        self._next_at = 0.0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._next: _Group[T] = _Group()

    def submit(self, items: list[T]) -> None:
        """Return when `items` are stored. Raises what `write` raised for the group that they were in."""
        with self._lock:
            if self._next.items and len(self._next.items) + len(items) > self._most:
                self._next = _Group()
            group = self._next
            leads = not group.items
            group.items += items
        if leads:
            with self._writing:
                time.sleep(max(0.0, self._next_at - time.monotonic()))
                self._next_at = time.monotonic() + self._apart
                with self._lock:
                    if self._next is group:
                        self._next = _Group()
                try:
                    self._write(group.items)
                except BaseException as error:
                    group.error = error
                finally:
                    group.ended.set()
        else:
            group.ended.wait()
        if group.error is not None:
            raise group.error
