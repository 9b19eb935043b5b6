"""What two sources propose of the posts that were read: as if all had been read, or said not to be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ranking.merge import Post
from ranking.sources import Found, cut

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# Of each post: its content, whether the viewer has seen it, and the sources that may propose it.
POSTS = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from([(True, False), (False, True), (True, True)])),
    max_size=40,
)


def found(posts) -> tuple[list[Found], set[str]]:
    """Newest first, a minute apart; the ids of those that were seen."""
    known = [
        (Found(Post(str(UUID(int=n)), "author", EPOCH - timedelta(minutes=n), "", "", content, False), *named), seen)
        for n, (content, seen, named) in enumerate(posts)
    ]
    return [one for one, _ in known], {one.post.id for one, seen in known if seen}


def within(posts: list[Found], reach: int) -> list[Found]:
    """What the query reads."""
    return [one for n, one in enumerate(posts) if sum(other[1:] == one[1:] for other in posts[:n]) < reach]


@given(POSTS, st.integers(1, 6), st.integers(1, 3), st.integers(0, 4))
def test_a_part_gives_what_all_would_give_or_says_that_it_may_not(posts, cap, copies, more) -> None:
    everything, seen = found(posts)
    reach = cap + more
    whole = cut(everything, seen, cap=cap, copies=copies, reach=len(everything) + 1)
    part = cut(within(everything, reach), seen, cap=cap, copies=copies, reach=reach)
    assert whole.exact
    if part.exact:
        assert part == whole


@given(POSTS, st.integers(1, 6), st.integers(1, 3))
def test_the_unseen_come_first_and_few_copies_compete(posts, cap, copies) -> None:
    everything, seen = found(posts)
    for chosen in cut(everything, seen, cap=cap, copies=copies, reach=len(everything) + 1)[:2]:
        assert len(chosen) <= cap
        order = [(post.seen, EPOCH - post.created_at) for post in chosen]
        assert order == sorted(order)
        contents = [post.content_key for post in chosen if post.content_key]
        assert all(contents.count(key) <= copies for key in contents)


def test_enough_unseen_posts_need_no_second_look() -> None:
    everything, seen = found([(0, False, (True, False))] * 10)
    assert cut(everything[:6], seen, cap=4, copies=1, reach=6).exact
    assert not cut(everything[:6], {one.post.id for one in everything[:3]}, cap=4, copies=1, reach=6).exact
