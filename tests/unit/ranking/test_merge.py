"""From proposals to an order: sources remembered, contents once, ties broken, the seen at the end."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from nova.content import content_key
from ranking.explanation import Basis, Explanation
from ranking.merge import Post, Ranked, merge, rank
from ranking.scoring import Counts, Weights

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEIGHTS = Weights(freshness=0.30, engagement=0.40, affinity=0.30, decay=0.1, version="test")


def post(number: int, author: int | None = None, *, hours: float = 1.0, key: int = 0, seen: bool = False) -> Post:
    by = number if author is None else author
    return Post(str(UUID(int=number)), str(UUID(int=by)), NOW - timedelta(hours=hours), "", "[]", key, seen)


def ranking(*posts: Post, counts=None, interactions=None, limit: int = 500) -> list[Ranked]:
    return rank(
        merge({"followees": posts}),
        counts=counts or {},
        interactions=interactions or {},
        weights=WEIGHTS,
        now=NOW,
        limit=limit,
    )


def numbers(ranked: list[Ranked]) -> list[int]:
    return [UUID(item.post.id).int for item in ranked]


def test_a_post_from_several_sources_is_one_candidate_that_remembers_them() -> None:
    both, one = post(1), post(2)
    found = merge({"followees": [both, one], "trending": [both], "affinity": [both, both]})
    assert [(candidate.post, candidate.sources) for candidate in found] == [
        (both, ("followees", "trending", "affinity")),
        (one, ("followees",)),
    ]


def test_the_best_scored_of_equal_contents_stays() -> None:
    liked = post(2, hours=10, key=7)
    found = ranking(post(1, hours=1, key=7), liked, post(3, key=8), counts={liked.id: Counts(5, 0, 50, 0, 0)})
    assert numbers(found) == [2, 3]


def test_posts_without_content_are_nobodys_duplicates() -> None:
    assert len(ranking(post(1), post(2), post(3))) == 3


def test_the_same_words_in_any_script_are_one_content() -> None:
    twins = [("Ｈello, World!", "hello world"), ("你好，世界", "你好世界"), ("مرحبا!", "مرحبا"), ("🎉 🎉", "🎉🎉")]
    for one, other in twins:
        assert content_key(one, []) == content_key(other, []) != 0
    assert content_key("🎉", []) != content_key("🎊", [])
    assert content_key("", [{"hash": "a"}, {"hash": "b"}]) != content_key("", [{"hash": "b"}, {"hash": "a"}])
    assert content_key(" …", []) == 0


def test_ties_break_by_time_then_by_the_text_of_the_id() -> None:
    flat = Weights(freshness=0.0, engagement=0.5, affinity=0.5, decay=0.1, version="test")
    posts = [post(1, hours=2), post(3, hours=1), post(2, hours=1)]
    found = rank(merge({"x": posts}), counts={}, interactions={}, weights=flat, now=NOW, limit=9)
    assert numbers(found) == [3, 2, 1]


def test_the_seen_follow_when_nothing_unseen_is_left() -> None:
    loved = post(1, hours=0.1, seen=True)
    found = ranking(loved, post(2, hours=5), post(3, hours=50), interactions={loved.author_id: 1000})
    assert numbers(found) == [2, 3, 1]
    assert [item.post.seen for item in found] == [False, False, True]


def test_the_seen_only_fill_what_the_unseen_leave() -> None:
    assert numbers(ranking(post(1, seen=True), post(2), post(3), limit=2)) == [3, 2]


def test_how_far_diversity_moved_a_post_is_noted() -> None:
    found = ranking(*(post(number, author=1 if number < 3 else number, hours=number) for number in range(1, 8)))
    assert numbers(found) == [1, 3, 4, 5, 6, 2, 7]
    assert [item.moved_by for item in found] == [0, -1, -1, -1, -1, 4, 0]


def test_the_explanation_works_out_the_score_that_made_the_order() -> None:
    posts = [post(number, hours=number / 7) for number in range(1, 20)]
    counts = {
        one.id: Counts(100 * number, 5, number % 7 - 1, number % 3, number % 2) for number, one in enumerate(posts)
    }
    interactions = {one.author_id: number % 4 for number, one in enumerate(posts)}
    found = ranking(*posts, counts=counts, interactions=interactions)
    basis = Basis(NOW, WEIGHTS, 90, is_scored=True)
    assert [Explanation.of_ranked(item, basis).as_dict()["final"] for item in found] == [item.final for item in found]
    assert len({item.final for item in found}) == len(posts)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 90), st.integers(0, 3), st.booleans()), max_size=40))
def test_the_order_of_proposals_does_not_matter_and_nothing_is_lost(rows) -> None:
    posts = [
        post(number + 10, author, hours=hours, key=key, seen=seen)
        for number, (author, hours, key, seen) in enumerate(rows)
    ]
    forward, backward = ranking(*posts), ranking(*reversed(posts))
    assert [item.post.id for item in forward] == [item.post.id for item in backward]
    distinct = {item.content_key for item in posts if item.content_key}
    assert len(forward) == len(distinct) + sum(not item.content_key for item in posts)
    flags = [item.post.seen for item in forward]
    assert flags == sorted(flags)
