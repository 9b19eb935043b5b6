"""Threads share a write, and each learns how its own ended."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingestion.together import Together


def test_those_who_wait_share_the_next_write():
    groups: list[list[int]] = []
    first_is_writing, may_end = threading.Event(), threading.Event()

    def write(items: list[int]) -> None:
        groups.append(list(items))
        if len(groups) == 1:
            first_is_writing.set()
            assert may_end.wait(30)

    together = Together(write, most=100)
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(together.submit, [0])
        assert first_is_writing.wait(30)
        others = [threads.submit(together.submit, [n]) for n in range(1, 9)]
        while len(together._next.items) < 8:  # until all have joined; nobody tells from outside
            pass
        may_end.set()
        for future in (first, *others):
            future.result(30)
    assert groups[0] == [0]
    assert [sorted(group) for group in groups[1:]] == [[1, 2, 3, 4, 5, 6, 7, 8]]


def test_everything_is_written_once_and_no_group_is_too_large():
    written: list[int] = []
    sizes: list[int] = []

    def write(items: list[int]) -> None:
        written.extend(items)
        sizes.append(len(items))

    together = Together(write, most=10)
    with ThreadPoolExecutor(16) as threads:
        for future in [threads.submit(together.submit, [3 * n, 3 * n + 1, 3 * n + 2]) for n in range(500)]:
            future.result(30)
    assert sorted(written) == list(range(1500))
    assert max(sizes) <= 10


def test_a_failure_reaches_all_of_its_group_and_none_of_the_next():
    fail = True

    def write(items: list[int]) -> None:
        if fail:
            raise OSError("away")

    together = Together(write, most=10)
    with pytest.raises(OSError, match="away"):
        together.submit([1])
    fail = False
    together.submit([1])
