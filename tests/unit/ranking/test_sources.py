"""What two sources propose of the posts that were read: as if all had been read, or said not to be."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ranking.merge import Post
from ranking.sources import Cut, Source, cut

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# By whether either source names them.
AUTHORS = {(True, False): "followed", (False, True): "close", (True, True): "both", (False, False): "neither"}
FOLLOWEES = Source({"followed", "both"}, EPOCH - timedelta(minutes=30))
CLOSEST = Source({"close", "both"}, EPOCH - timedelta(minutes=35))
# Of each post: its content, whether the viewer has seen it, and who wrote it.
POSTS = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from(list(AUTHORS.values()))), max_size=40)


def made(posts) -> list[Post]:
    """Newest first, a minute apart."""
    return [
        Post(str(UUID(int=n)), author, EPOCH - timedelta(minutes=n), "", "", content, seen)
        for n, (content, seen, author) in enumerate(posts)
    ]


def proposed(posts: list[Post], *, cap: int, copies: int, reach: int) -> Cut:
    return cut(posts, FOLLOWEES, CLOSEST, cap=cap, copies=copies, reach=reach)


@given(POSTS, st.integers(1, 6), st.integers(1, 3), st.integers(0, 4))
def test_a_part_gives_what_all_would_give_or_says_that_it_may_not(posts, cap, copies, more) -> None:
    everything, reach = made(posts), cap + more
    whole = proposed(everything, cap=cap, copies=copies, reach=len(everything) + 1)
    part = proposed(everything[:reach], cap=cap, copies=copies, reach=reach)
    assert whole.exact
    if part.exact:
        assert part == whole


@given(POSTS, st.integers(1, 6), st.integers(1, 3))
def test_the_unseen_come_first_and_few_copies_compete(posts, cap, copies) -> None:
    everything = made(posts)
    of_both = proposed(everything, cap=cap, copies=copies, reach=len(everything) + 1)[:2]
    for chosen, source in zip(of_both, (FOLLOWEES, CLOSEST), strict=True):
        assert len(chosen) <= cap
        assert all(post.author_id in source.authors and post.created_at >= source.after for post in chosen)
        order = [(post.seen, EPOCH - post.created_at) for post in chosen]
        assert order == sorted(order)
        contents = [post.content_key for post in chosen if post.content_key]
        assert all(contents.count(key) <= copies for key in contents)


def test_what_a_source_may_propose_is_in_it() -> None:
    everything = made([(0, False, name) for name in ("neither", "both", "close", "followed")] + [(0, True, "both")])
    found = proposed(everything, cap=9, copies=1, reach=9)
    assert [everything.index(post) for post in found.followees] == [1, 3, 4]
    assert [everything.index(post) for post in found.closest] == [1, 2, 4]


def test_enough_unseen_posts_need_no_second_look() -> None:
    unseen = made([(0, False, "both")] * 10)
    assert proposed(unseen[:6], cap=4, copies=1, reach=6).exact
    assert not proposed(made([(0, True, "both")] * 3 + [(0, False, "both")] * 3), cap=4, copies=1, reach=6).exact
