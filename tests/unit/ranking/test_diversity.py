"""Diversity: the rule holds wherever it can, nothing is lost, and the same goes in as comes out the same."""

from hypothesis import given
from hypothesis import strategies as st

from ranking.diversity import DISTANCE, FIRST_PLACES, diversify

AUTHORS = st.lists(st.sampled_from("abcdefgh"), max_size=60)
MANY_OF_FEW = st.lists(st.sampled_from("ab"), max_size=40)


def shown(authors: str) -> str:
    return "".join(authors[index] for index in diversify(authors))


def strictness(author: str, before: list[str]) -> int:
    """How strict a rule `author` would keep at the place after `before`: 3 the whole one, 0 next to oneself."""
    if len(before) < FIRST_PLACES and author not in before:
        return DISTANCE
    apart = next((back for back in range(1, DISTANCE) if author in before[-back:]), DISTANCE)
    return min(apart, DISTANCE) - 1


def test_posts_that_keep_the_rule_stay_where_they_are() -> None:
    assert shown("abcdeabcde") == "abcdeabcde"


def test_an_author_gets_one_of_the_first_five_places() -> None:
    assert shown("aaabcdef") == "abcdeafa"


def test_a_post_moves_down_to_the_first_place_where_it_fits() -> None:
    assert diversify("aabcdefg") == [0, 2, 3, 4, 5, 1, 6, 7]


def test_the_distance_shrinks_when_nobody_else_is_left() -> None:
    assert shown("aaaa") == "aaaa"
    assert shown("aabb") == "abab"
    assert shown("aaabbc") == "abcaba"


def test_what_already_stands_counts() -> None:
    assert diversify("abc", placed="xyzwa") == [1, 2, 0]
    assert diversify("ab", placed="a") == [1, 0]


@given(AUTHORS | MANY_OF_FEW)
def test_nothing_is_lost_or_doubled(authors) -> None:
    assert sorted(diversify(authors)) == list(range(len(authors)))


@given(AUTHORS | MANY_OF_FEW)
def test_the_same_input_gives_the_same_order(authors) -> None:
    assert diversify(authors) == diversify(list(authors))


@given(AUTHORS | MANY_OF_FEW)
def test_the_rule_is_only_bent_when_no_waiting_post_would_keep_it_better(authors) -> None:
    order = [authors[index] for index in diversify(authors)]
    for place, author in enumerate(order):
        here = strictness(author, order[:place])
        assert here >= max(strictness(other, order[:place]) for other in order[place:])


@given(AUTHORS)
def test_no_author_twice_in_the_first_five_while_others_exist(authors) -> None:
    first = [authors[index] for index in diversify(authors)][:FIRST_PLACES]
    assert len(set(first)) == min(len(set(authors)), FIRST_PLACES, len(authors))


@given(AUTHORS | MANY_OF_FEW)
def test_the_posts_of_one_author_keep_their_order(authors) -> None:
    order = diversify(authors)
    for author in set(authors):
        own = [index for index in order if authors[index] == author]
        assert own == sorted(own)
