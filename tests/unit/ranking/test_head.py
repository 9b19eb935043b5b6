"""The head of a snapshot: what is packed for Redis is read again as any page of it."""

from dataclasses import asdict
from uuid import uuid4

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ranking import head
from ranking.about import About
from ranking.entries import Entry
from ranking.head import Head
from ranking.ready import Ready, _Sent

ABOUT = About("5" * 20, "ch", 3, "2026-01-01T00:00:00.000000Z", 1.0, 60.0, "v1")
STATE = b"5 1 1"


def entries(texts: list[str]) -> list[Entry]:
    made = [(uuid4(), text) for text in texts]
    return [
        Entry(f"{place:035d}{one}{uuid4()}".encode() + orjson.dumps({"id": str(one), "text": text}))
        for place, (one, text) in enumerate(made)
    ]


def answer(feed: list[Entry], left_out: set[int]) -> list[bytes]:
    """What Redis answers when the posts at these places (from 0) were deleted."""
    places = " ".join(str(place + 1) for place in sorted(left_out))
    return [b"3", STATE, *head.packed(ABOUT, feed), places.encode()]


FEEDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=70)


@given(FEEDS, st.sets(st.integers(0, 69), max_size=20), st.integers(1, 100))
def test_a_page_is_the_first_posts_that_are_not_deleted(texts: list[str], deleted: set[int], limit: int) -> None:
    feed = entries(texts)
    deleted = {place for place in deleted if place < min(len(feed), head.POSTS)}
    found = head.read(answer(feed, deleted), None, limit)
    known = [place for place in range(min(len(feed), head.POSTS)) if place not in deleted]
    if len(known) < limit and len(feed) > head.POSTS:
        assert found is None, "the list has more"
        return
    shown = known[:limit]
    assert found is not None
    assert orjson.loads(b"[" + found.posts + b"]") == [orjson.loads(feed[place].item) for place in shown]
    assert found.last == (feed[shown[-1]].key if shown else "")
    assert found.after == (shown[-1] + 1 if len(shown) == limit else len(feed))
    assert found.has_more is (bool(shown) and found.after < len(feed))
    assert found.whole is not bool(deleted)
    assert asdict(found.about) == asdict(ABOUT)


def test_what_is_known_is_kept_while_redis_says_so() -> None:
    known = head.read(answer(entries(["a", "b"]), set()), None, 10)
    assert isinstance(known, Head)
    assert head.read([b"3", STATE], known, 10) is known
    later = head.read([b"4", b"5 2 2"], known, 10)
    assert later is not None
    assert (later.posts, later.generation, later.state) == (known.posts, 4, b"5 2 2")
    assert head.read([b"3"], known, 10) is None


def test_pages_without_posts_are_remembered_within_bounds_too():
    sent = _Sent(3 * 2048)
    empty = Head(ABOUT, 1, b"", "", b"", 0, 0, b"", whole=True)
    names = [("viewer", "ch", limit) for limit in range(5)]
    for name in names:
        sent.put(name, empty, Ready(ABOUT, b"", None))
    assert [name for name in names if sent.get(name)] == names[2:]
