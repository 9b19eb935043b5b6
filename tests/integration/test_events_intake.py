"""POST /api/events over the real broker."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from confluent_kafka import TopicPartition

from community.models import Post
from ingestion import contract, intake
from nova import clock, kafka, redis, topics
from tests.client import event, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("prepared")]


@pytest.fixture
def member(make_member) -> UUID:
    return make_member()


@pytest.fixture
def post(make_member) -> Post:
    return Post.objects.create(author_id=make_member(), text="something")


@pytest.fixture
def send(client_of, member):
    def post_events(body, **token):
        return client_of(member, **token).post("/api/events", body, format="json")

    return post_events


@pytest.fixture
def in_kafka():
    """in_kafka(ids) → the events with these ids as they stand in the topic, once all are there."""
    client = kafka.consumer("tests-look-only")
    numbers = client.list_topics(topics.EVENTS, timeout=10).topics[topics.EVENTS].partitions
    here = [TopicPartition(topics.EVENTS, number) for number in numbers]
    for partition in here:
        _, partition.offset = client.get_watermark_offsets(partition, timeout=10)
    client.assign(here)
    found: dict[UUID, list] = {}

    def look() -> None:
        for message in client.consume(1000, 0.2):
            if not message.error():
                try:
                    read = contract.parse(message.value(), None)
                except contract.InvalidMessage:
                    continue
                found.setdefault(read.event_id, []).append((message.key(), read))

    def collect(ids) -> list:
        wanted = {UUID(identifier) for identifier in ids}
        wait_until(lambda: look() or wanted <= found.keys(), "events in Kafka")
        return [found[UUID(identifier)] for identifier in ids]

    yield collect
    client.close()


def test_accepted_events_are_in_kafka_with_their_author(send, member, post, in_kafka) -> None:
    events = [event(member, post.id, "view") for _ in range(3)]
    answer = send({"events": events})
    assert answer.status_code == 202
    assert answer.json() == {"received": 3, "accepted": 3, "duplicates": 0, "rejected": 0, "invalid_events": []}
    for copies in in_kafka([one["event_id"] for one in events]):
        ((key, stored),) = copies
        assert key == member.bytes
        assert (stored.author_id, stored.source, stored.user_id) == (post.author_id, "client", member)


def test_each_event_is_judged_by_itself(send, member, post) -> None:
    def one(**changes):
        return event(member, post.id, "view") | changes

    good = one()
    late = (clock.now() - timedelta(days=31)).isoformat()
    bad = {
        "event_time: More than 30 days ago": one(event_time=late),
        "event_time: More than 5 minutes ahead": one(event_time=(clock.now() + timedelta(hours=1)).isoformat()),
        "post_id: There is no such post": one(post_id=str(uuid4())),
        "author_id: Not the author of this post": one(author_id=str(uuid4())),
        "user_id: Not the viewer": one(user_id=str(uuid4())),
        "action: A client may not send unlike": one(action="unlike"),
        "event_id: Invalid UUID": one(event_id="7"),
    }
    answer = send({"events": [good, *bad.values(), good, "nonsense"]}).json()
    assert (answer["received"], answer["accepted"], answer["duplicates"], answer["rejected"]) == (10, 1, 1, 8)
    by_index = {found["index"]: found for found in answer["invalid_events"]}
    assert sorted(by_index) == [1, 2, 3, 4, 5, 6, 7, 9]
    for index, (reason, given) in enumerate(bad.items(), 1):
        assert by_index[index] == {"index": index, "event_id": given["event_id"], "reason": reason}
    assert by_index[9]["event_id"] is None


def test_a_right_author_and_unknown_fields_are_fine(send, member, post) -> None:
    given = event(member, post.id, "click", author_id=str(post.author_id), session={"id": 1}, source="table")
    assert send({"events": [given]}).json()["accepted"] == 1


def test_one_bare_event_and_a_bare_list_are_taken(send, member, post) -> None:
    assert send(event(member, post.id, "view")).json()["accepted"] == 1
    assert send([event(member, post.id, "view") for _ in range(2)]).json()["accepted"] == 2


@pytest.mark.parametrize("body", [{}, [], {"events": []}, {"events": {}}, {"events": "x"}, 5, "x", None])
def test_a_body_without_events_is_refused(send, body) -> None:
    answer = send(body)
    assert (answer.status_code, answer.json().get("field")) == (400, "events")


def test_too_many_events_are_refused(send, member, post, settings) -> None:
    settings.EVENTS_PER_REQUEST = 2
    assert send([event(member, post.id, "view") for _ in range(2)]).status_code == 202
    answer = send([event(member, post.id, "view") for _ in range(3)])
    assert (answer.status_code, answer.json()["field"]) == (400, "events")


def test_without_a_token_nothing_is_taken(client_of, member, post) -> None:
    client = client_of(member)
    client.credentials()
    assert client.post("/api/events", {"events": []}, format="json").status_code == 401


def test_a_service_sends_for_others_and_its_word_counts(send, make_member, post, in_kafka) -> None:
    given = event(make_member(), post.id, "unlike")
    assert send({"events": [given]}, service=True).json()["accepted"] == 1
    (((_, stored),),) = in_kafka([given["event_id"]])
    assert (stored.source, stored.action, str(stored.user_id)) == ("service", "unlike", given["user_id"])


@pytest.fixture
def no_broker(monkeypatch, settings) -> Iterator[Callable[..., None]]:
    """no_broker(**overrides): from now on this process' producer finds nobody."""
    settings.INTAKE_ACK_SECONDS = 0.3
    lost: list[kafka.SharedProducer] = []

    def look_elsewhere(**overrides) -> None:
        # Port 1 refuses, as a stopped broker would.
        nobody = {"bootstrap.servers": "127.0.0.1:1", "delivery.timeout.ms": 1000}
        lost.append(kafka.SharedProducer(**nobody, **overrides))
        monkeypatch.setattr(kafka, "_shared", lost[-1])

    yield look_elsewhere
    # Else they go on trying, and saying so, until the last test has run.
    for producer in lost:
        producer.drop(producer.get())


def test_without_an_acknowledgement_there_is_no_202(send, member, post, no_broker) -> None:
    no_broker()
    answer = send({"events": [event(member, post.id, "view")]})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_full_queue_is_no_202_either(send, member, post, no_broker) -> None:
    no_broker(**{"queue.buffering.max.messages": 2})
    assert send([event(member, post.id, "view") for _ in range(5)]).status_code == 503


def test_what_was_seen_is_noted(send, member, post) -> None:
    key = intake.seen_key(member)
    send([event(member, post.id, "impression", dwell_ms=999), event(member, post.id, "like")])
    assert redis.cache().zcard(key) == 0
    given = event(member, post.id, "impression", dwell_ms=1000)
    send([given])
    assert redis.cache().zrange(key, 0, -1) == [str(post.id).encode()]
    assert redis.cache().ttl(key) > 6 * 86_400


def test_only_the_newest_seen_posts_are_noted(member) -> None:
    now = time.time()
    fields = {"event_id": uuid4(), "user_id": member, "action": "view"}
    # More than Lua can unpack, the oldest first.
    posts = [uuid4() for _ in range(5 * intake.SEEN_POSTS)]
    intake.remember_seen(
        contract.Event(**fields, post_id=post, event_time=clock.now() - timedelta(seconds=len(posts) - place))
        for place, post in enumerate(posts)
    )
    key = intake.seen_key(member)
    assert redis.cache().zcard(key) == intake.SEEN_POSTS
    assert redis.cache().zscore(key, str(posts[0])) is None
    assert abs(redis.cache().zscore(key, str(posts[-1])) - now) < 60
