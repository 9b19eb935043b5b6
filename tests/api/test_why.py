"""GET /api/feed/why: each reason a post can have to be, or not to be, in a feed."""

from time import sleep
from uuid import UUID, uuid4

import pytest

from ranking import breaker, candidates
from tests.feeds import Feeds, invalidate, member

pytest_plugins = ["tests.ranking_fixtures"]

FIELDS = {
    "post",
    "in_feed",
    "code",
    "message",
    "algorithm",
    "snapshot",
    "generated_at",
    "of",
    "place",
    "rank",
    "seen",
    "sources",
    "score",
    "moved_by_diversity",
    "duplicate_of",
    "threshold",
    "changes",
}


@pytest.fixture
def viewer(feeds: Feeds) -> UUID:
    """Somebody with a feed of one post, so that the newest of all do not stand in."""
    viewer, followee = member(), member()
    feeds.follow(viewer, followee)
    feeds.post(followee)
    return viewer


@pytest.fixture
def why(client_of, viewer: UUID):
    client = client_of(viewer)

    def ask(post: UUID) -> dict:
        answer = client.get("/api/feed/why", {"post": str(post)})
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert set(body) == FIELDS
        assert (body["code"] == "in_feed") == body["in_feed"] == (body["place"] is not None)
        assert body["message"]
        return body

    return ask


def codes(said: dict) -> dict[str, str]:
    return {source["source"]: source["code"] for source in said["sources"]}


def changes(said: dict) -> list[str]:
    return [change["code"] for change in said["changes"]]


def test_a_post_of_the_feed(why, feeds: Feeds, viewer: UUID) -> None:
    author = member()
    feeds.follow(viewer, author)
    first, second = feeds.posts(author, hours_ago=[0, 0.5])
    feeds.act(viewer, first, "like")
    feeds.make_trend(first)
    feeds.act(viewer, second, "view")
    said = why(first)
    assert (said["place"], said["of"], said["seen"], said["code"]) == (1, 3, False, "in_feed")
    assert codes(said) == dict.fromkeys(("followees", "trending", "affinity"), "proposed")
    score = said["score"]
    parts = sum(score["weights"][part] * score[part] for part in ("freshness", "engagement", "affinity"))
    assert score["final"] == pytest.approx(parts)
    assert (score["inputs"]["likes"], score["inputs"]["interactions"]) == (4, 1)
    said = why(second)
    assert (said["place"], said["seen"]) == (3, True)


def test_what_diversity_did(why, feeds: Feeds, viewer: UUID) -> None:
    author = member()
    feeds.follow(viewer, author)
    feeds.posts(author, hours_ago=[0, 0.1, 0.2])
    places = [why(post)["moved_by_diversity"] for post in feeds.rows]
    assert sum(places) == 0
    assert any(places)


def test_nobody_knows_the_post(client_of, viewer: UUID) -> None:
    client = client_of(viewer)
    answer = client.get("/api/feed/why", {"post": str(member())})
    assert (answer.status_code, answer.json()["error"], answer.json()["field"]) == (404, "not_found", "post")
    for parameters in ({"post": "first"}, {}):
        answer = client.get("/api/feed/why", parameters)
        assert (answer.status_code, answer.json()["field"]) == (400, "post")


def test_asking_for_what_nobody_knows_is_no_failure_of_clickhouse(client_of, viewer: UUID, settings) -> None:
    client = client_of(viewer)
    for _ in range(2 * settings.BREAKER_FAILURES):
        assert client.get(f"/api/feed/why?post={uuid4()}").status_code == 404
    assert breaker.clickhouse.look().after is breaker.State.CLOSED


def test_a_ranking_that_takes_its_whole_deadline_leaves_time_for_the_rest(
    why, feeds: Feeds, viewer: UUID, monkeypatch, settings
) -> None:
    """Each of the two has a deadline of its own; what is asked beside the ranking must not wait for it."""
    gather = candidates.gather

    def slowly(*arguments):
        known = gather(*arguments)
        sleep(settings.CLICKHOUSE_DEADLINE)
        return known

    post = feeds.post(member())
    why(post)
    monkeypatch.setattr(candidates, "gather", slowly)
    assert why(post)["code"] == "no_source"
    assert breaker.clickhouse.look().failures == 0


def test_deleted(why, feeds: Feeds) -> None:
    post = feeds.post(member())
    feeds.delete(post)
    said = why(post)
    assert (said["code"], changes(said), said["score"]) == ("deleted", [], None)


def test_own_post(why, feeds: Feeds, viewer: UUID) -> None:
    assert why(feeds.post(viewer))["code"] == "own_post"


def test_a_block_is_told_the_same_either_way(why, feeds: Feeds, viewer: UUID) -> None:
    mine, theirs = member(), member()
    feeds.hide(viewer, mine, "block")
    feeds.hide(viewer, mine, "mute")
    feeds.hide(theirs, viewer, "block")
    said = [why(feeds.post(author)) for author in (mine, theirs)]
    gone = feeds.post(theirs)
    feeds.delete(gone)
    said.append(why(gone))
    for one in said:
        del one["post"]
    assert said[0] == said[1] == said[2]
    assert (said[0]["code"], said[0]["seen"], said[0]["sources"], said[0]["changes"]) == ("not_available", None, [], [])


def test_muted(why, feeds: Feeds, viewer: UUID) -> None:
    author = member()
    feeds.hide(viewer, author, "mute")
    said = why(feeds.post(author))
    assert (said["code"], changes(said)) == ("muted", ["unmute_author"])


def test_too_old(why, feeds: Feeds, viewer: UUID) -> None:
    author = member()
    feeds.follow(viewer, author)
    said = why(feeds.post(author, hours_ago=200))
    assert said["code"] == "too_old"
    assert codes(said)["followees"] == "too_old"
    assert changes(said) == ["more_people"]


def test_no_source(why, feeds: Feeds) -> None:
    post = feeds.post(member())
    feeds.make_trend(post, people=2)
    said = why(post)
    assert said["code"] == "no_source"
    assert codes(said) == {"followees": "not_followed", "trending": "too_few_people", "affinity": "no_interactions"}
    trending = next(source for source in said["sources"] if source["source"] == "trending")
    assert trending["inputs"] == {"people": 2, "floor": 3}
    assert changes(said) == ["follow_author", "react_to_author", "more_people"]


def muted(feeds: Feeds, viewer: UUID) -> UUID:
    author = member()
    feeds.follow(viewer, author)
    feeds.hide(viewer, author, "mute")
    return feeds.post(author)


def strange(feeds: Feeds, viewer: UUID) -> UUID:
    return feeds.post(member())


def old(feeds: Feeds, viewer: UUID) -> UUID:
    return feeds.post(member(), hours_ago=200)


def low(feeds: Feeds, viewer: UUID) -> UUID:
    """The third of two places."""
    authors = [member() for _ in range(3)]
    feeds.follow(viewer, *authors)
    return [feeds.post(author, hours_ago=hours) for author, hours in zip(authors, (2, 3, 60), strict=True)][-1]


def repeated(feeds: Feeds, viewer: UUID) -> UUID:
    one, other = member(), member()
    feeds.follow(viewer, one, other)
    feeds.post(one, text="The same!", hours_ago=1)
    return feeds.post(other, text="the same", hours_ago=60)


def author_of(feeds: Feeds, post: UUID) -> UUID:
    return feeds.rows[post]["author_id"]


# What `changes` may name that somebody can do, done.
DEEDS = {
    "unmute_author": lambda feeds, viewer, post: feeds.hide(viewer, author_of(feeds, post), "mute", gone=True),
    "follow_author": lambda feeds, viewer, post: feeds.follow(viewer, author_of(feeds, post)),
    "react_to_author": lambda feeds, viewer, post: feeds.act(viewer, post, "like"),
    "more_people": lambda feeds, viewer, post: feeds.make_trend(post),
    "higher_score": lambda feeds, viewer, post: feeds.act(viewer, post, "comment", times=5),
}


@pytest.mark.parametrize(
    ("case", "code", "change"),
    [
        (muted, "muted", "unmute_author"),
        (strange, "no_source", "follow_author"),
        (strange, "no_source", "react_to_author"),
        (strange, "no_source", "more_people"),
        (old, "too_old", "more_people"),
        (low, "below_cut", "higher_score"),
        (repeated, "duplicate", "higher_score"),
    ],
)
def test_what_it_says_brings_the_post_in(
    why, feeds: Feeds, viewer: UUID, settings, case, code: str, change: str
) -> None:
    settings.SNAPSHOT_POSTS = 2
    post = case(feeds, viewer)
    said = why(post)
    assert said["code"] == code
    assert change in changes(said)
    DEEDS[change](feeds, viewer, post)
    # What is trending is remembered for some seconds.
    candidates.forget()
    before, said = said, why(post)
    assert (said["code"], changes(said)) == ("next_snapshot", ["wait"])
    if before["threshold"]:
        assert said["score"]["final"] > before["threshold"]["final"]
    invalidate(viewer)
    assert why(post)["in_feed"]


def test_what_was_seen_cannot_pass_what_was_not(why, feeds: Feeds, viewer: UUID, settings) -> None:
    settings.SNAPSHOT_POSTS = 2
    post = low(feeds, viewer)
    feeds.act(viewer, post, "view")
    said = why(post)
    assert (said["code"], changes(said)) == ("below_cut", [])


def test_not_one_of_the_top_authors(why, feeds: Feeds, viewer: UUID, settings) -> None:
    settings.AFFINITY_AUTHORS = 1
    close, other = member(), member()
    feeds.act(viewer, feeds.post(close), "like", times=2)
    post = feeds.post(other)
    feeds.act(viewer, post, "like")
    assert codes(why(post))["affinity"] == "not_a_top_author"


def test_beaten_by_a_duplicate(why, feeds: Feeds, viewer: UUID) -> None:
    one, other = member(), member()
    feeds.follow(viewer, one, other)
    new, old = feeds.post(one, text="The same!", hours_ago=1), feeds.post(other, text="the same", hours_ago=2)
    said = why(old)
    assert (said["code"], said["duplicate_of"]) == ("duplicate", str(new))
    shown = why(new)
    assert (said["threshold"]["post"], said["threshold"]["final"]) == (str(new), pytest.approx(shown["score"]["final"]))


def test_below_the_cut(why, feeds: Feeds, viewer: UUID, settings) -> None:
    settings.SNAPSHOT_POSTS = 2
    authors = [member() for _ in range(3)]
    feeds.follow(viewer, *authors)
    posts = [feeds.post(author, hours_ago=hours) for author, hours in zip(authors, (2, 3, 4), strict=True)]
    said = why(posts[-1])
    assert (said["code"], said["rank"], said["of"], changes(said)) == ("below_cut", 4, 2, ["higher_score"])
    feed = [(why(post)["score"]["final"], str(post)) for post in feeds.rows if why(post)["in_feed"]]
    final, last = min(feed)
    assert 0 < said["score"]["final"] < final
    assert (said["threshold"]["post"], said["threshold"]["final"]) == (last, pytest.approx(final, rel=1e-3))


def test_beyond_the_cap_of_a_source(why, feeds: Feeds, viewer: UUID, settings) -> None:
    settings.CANDIDATES_PER_SOURCE = 2
    author = member()
    feeds.follow(viewer, author)
    posts = feeds.posts(author, hours_ago=[2, 3, 4])
    said = why(posts[-1])
    assert (said["code"], codes(said)["followees"]) == ("no_source", "beyond_cap")


def test_the_newest_stand_in_for_who_has_nothing(client_of, feeds: Feeds) -> None:
    post = feeds.post(member())
    said = client_of(member()).get("/api/feed/why", {"post": str(post)}).json()
    assert codes(said) == {"newest": "proposed"}


def test_of_authors_with_as_many_interactions_one_is_the_closer(feeds: Feeds, viewer: UUID, why, settings) -> None:
    settings.AFFINITY_AUTHORS = 1
    first, second = (feeds.post(author) for author in sorted([member(), member()], key=str))
    feeds.act(viewer, first, "like")
    feeds.act(viewer, second, "like")
    said = why(second)
    assert codes(said)["affinity"] == "not_a_top_author"
    assert [change["code"] for change in said["changes"]] == ["follow_author", "react_to_author", "more_people"]
    feeds.act(viewer, second, "like")
    invalidate(viewer)
    assert why(second)["in_feed"]


def test_an_author_that_is_hidden_is_no_closer_one(feeds: Feeds, viewer: UUID, why, settings) -> None:
    settings.AFFINITY_AUTHORS, settings.AFFINITY_POST_HOURS = 1, 24
    hidden, author = member(), member()
    feeds.hide(viewer, hidden, "mute")
    feeds.act(viewer, feeds.post(hidden), "like", times=5)
    old = feeds.post(author, hours_ago=30)
    feeds.act(viewer, old, "like")
    assert codes(why(old))["affinity"] == "too_old"
