"""What staff can see and do about ingestion in the admin, over HTTP with a session, against a real Kafka."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from community.models import Follow
from ingestion import backfill
from ingestion import replay as replaying
from ingestion.models import BackfillProgress, DeadLetter, Offset, Replay
from nova import kafka, topics

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("prepared")]

LIST = "/admin/ingestion/deadletter/"
LOOKING = ("view_deadletter", "view_offset", "view_replay", "view_backfillprogress")
BACKFILLS = "/admin/ingestion/backfillprogress/"
ACTING = (*LOOKING, "replay_deadletter")


@pytest.fixture
def staff() -> Callable[..., Client]:
    """staff(*permissions) → a signed-in browser of a new member of staff. CSRF is checked, as in a real one."""

    def make(*permissions: str) -> Client:
        user = get_user_model().objects.create_user(f"staff-{uuid4().hex[:8]}", is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(codename__in=permissions, content_type__app_label="ingestion")
        )
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def letter() -> Callable[..., DeadLetter]:
    """letter(**fields) → a waiting dead letter of the DLQ topic of change data capture, which no consumer reads."""
    counter = iter(range(10_000))

    def make(**fields: Any) -> DeadLetter:
        values = {
            "consumer": "cdc",
            "topic": topics.DLQ_CDC,
            "topic_id": uuid4().hex,
            "partition": 0,
            "offset": next(counter),
            "key": b"k\xff",
            "raw": json.dumps({"hello": "wörld", "html": "<b>bold</b>"}).encode(),
            "headers": [["trace", "abc"], ["blob", {"base64": "/w=="}]],
            "reason": "bad_column",
            "field": "created_at",
            "detail": "it is no point in time",
            "decoded": {"hello": "wörld", "html": "<b>bold</b>"},
            **fields,
        }
        return DeadLetter.objects.create(**values)

    return make


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.content.decode()


def post(client: Client, path: str, shown: str, **data: Any) -> str:
    """Submit a form of the page `shown`; the text of the page that follows."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page(client, shown))
    assert token
    answer = client.post(path, {**data, "csrfmiddlewaretoken": token[1]}, follow=True)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def arrived(replay: Replay) -> Any:
    """The message at the place that a replay names."""
    reader = Consumer({**settings.KAFKA, "group.id": uuid4().hex})
    reader.assign([TopicPartition(replay.target_topic, replay.target_partition, replay.target_offset)])
    message = reader.poll(20)
    reader.close()
    assert message is not None
    assert message.error() is None
    return message


def test_a_click_replays_the_same_bytes_and_a_second_click_does_nothing(staff, letter):
    client, one = staff(*ACTING), letter()
    detail = f"{LIST}{one.pk}/change/"
    assert "1 replayed" in post(client, f"{LIST}{one.pk}/replay/", detail)
    one.refresh_from_db()
    assert (one.state, one.replay_count) == ("replayed", 1)

    replay = Replay.objects.get(letter=one)
    assert (replay.outcome, replay.by_id) == ("sent", signed_in_as(client))
    message = arrived(replay)
    assert (message.value(), message.key()) == (bytes(one.raw), bytes(one.key))
    assert message.headers() == [("trace", b"abc"), ("blob", b"\xff"), ("nova.replay-of", str(one.pk).encode())]

    assert "1 already replayed or dismissed before" in post(client, f"{LIST}{one.pk}/replay/", detail)
    assert sorted(Replay.objects.filter(letter=one).values_list("outcome", flat=True)) == ["refused", "sent"]
    low, high = ends()
    assert high - low >= 1
    post(client, f"{LIST}{one.pk}/replay/", detail)
    assert ends() == (low, high)
    assert "sent" in page(client, detail).lower()


def test_a_broker_that_is_away_is_waited_for_once(letter, settings, monkeypatch):
    """And not by each hundred of two thousand letters, for minutes in a request, or for hours by the command."""
    settings.INTAKE_ACK_SECONDS = 0.5
    away = kafka.SharedProducer(**{"bootstrap.servers": "127.0.0.1:1"})
    monkeypatch.setattr(replaying, "_producer", away)
    ids = [letter().pk for _ in range(250)]
    outcome = replaying.replay(ids, by=None)
    assert (outcome.sent, outcome.failed, outcome.total) == (0, 250, 250)
    assert "did not acknowledge" in str(outcome)
    assert set(DeadLetter.objects.filter(pk__in=ids).values_list("state", flat=True)) == {"waiting"}
    # Those that were not sent have lost no try.
    assert Replay.objects.filter(letter__in=ids, outcome="failed").count() == 100
    away.get().purge()


def test_a_topic_that_is_gone_keeps_no_other_letters_away(letter, settings):
    gone = [letter(topic=f"gone-{uuid4().hex}").pk for _ in range(2)]
    here = [letter().pk for _ in range(2)]
    settings.INTAKE_ACK_SECONDS = 2
    outcome = replaying.replay([*gone, *here], by=None, rate=1)
    assert (outcome.sent, outcome.failed) == (2, 2)


def signed_in_as(client: Client) -> Any:
    return get_user_model().objects.get(pk=client.session["_auth_user_id"]).pk


def ends() -> tuple[int, int]:
    reader = Consumer({**settings.KAFKA, "group.id": uuid4().hex})
    found = reader.get_watermark_offsets(TopicPartition(topics.DLQ_CDC, 0), timeout=10)
    reader.close()
    return found


def test_the_selected_ones(staff, letter):
    client, letters = staff(*ACTING), [letter() for _ in range(3)]
    chosen = [letters[0].pk, letters[2].pk]
    text = post(client, LIST, LIST, action="replay_selected", _selected_action=chosen)
    assert "2 replayed" in text
    assert sorted(DeadLetter.objects.filter(state="replayed").values_list("pk", flat=True)) == sorted(chosen)


def test_all_that_match_the_filter_after_a_confirmation(staff, letter):
    client = staff(*ACTING)
    matching = [letter(reason="in_future") for _ in range(3)]
    other, done = letter(reason="not_json"), letter(reason="in_future", state="replayed")
    listing = page(client, f"{LIST}?reason=in_future")
    link = f"{LIST}replay-matching/?reason=in_future"
    assert link in listing.replace("&amp;", "&")
    confirmation = page(client, link)
    assert "<strong>3</strong> waiting dead letters" in confirmation
    assert DeadLetter.objects.filter(state="waiting").count() == 4  # a GET changes nothing

    upto = re.search(r'name="upto" value="(\d+)"', confirmation)[1]
    late = letter(reason="in_future")
    assert "3 replayed" in post(client, link, link, upto=upto)
    assert set(DeadLetter.objects.filter(replays__outcome="sent")) == set(matching)
    for untouched in (other, late):
        untouched.refresh_from_db()
        assert untouched.state == "waiting"
    assert not done.replays.exists()


def test_looking_is_not_acting(staff, letter):
    client, one = staff(*LOOKING), letter()
    detail = page(client, f"{LIST}{one.pk}/change/")
    assert "wörld" in detail
    for text in (page(client, LIST), detail):
        assert f"{one.pk}/replay/" not in text
        assert "replay-matching" not in text
        assert "replay_selected" not in text
    token = client.cookies.get("csrftoken")
    data = {"csrfmiddlewaretoken": token.value if token else ""}
    client = Client()
    client.force_login(get_user_model().objects.latest("date_joined"))
    assert client.post(f"{LIST}{one.pk}/replay/", data).status_code == 403
    assert client.post(f"{LIST}replay-matching/", {"upto": one.pk}).status_code == 403
    assert client.get(f"{LIST}replay-matching/").status_code == 403
    client.post(LIST, {"action": "replay_selected", "_selected_action": [one.pk]})
    assert not Replay.objects.exists()


def test_acting_needs_a_post_and_a_token(staff, letter):
    client, one = staff(*ACTING), letter()
    assert client.get(f"{LIST}{one.pk}/replay/").status_code == 405
    assert client.post(f"{LIST}{one.pk}/replay/").status_code == 403
    assert client.post(f"{LIST}replay-matching/", {"upto": one.pk}).status_code == 403
    assert not Replay.objects.exists()


def test_nobody_without_permission_sees_anything(staff, letter):
    one = letter()
    client = staff()
    for path in (LIST, f"{LIST}{one.pk}/change/", "/admin/ingestion/offset/", "/admin/ingestion/replay/", BACKFILLS):
        assert client.get(path).status_code == 403
    assert Client().get(LIST).status_code == 302


def test_nothing_can_be_written_by_hand(staff, letter):
    one = letter()
    everything = Permission.objects.filter(content_type__app_label="ingestion").values_list("codename", flat=True)
    client = staff(*everything)
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.get(f"{LIST}{one.pk}/delete/").status_code == 403
    post(client, f"{LIST}{one.pk}/replay/", f"{LIST}{one.pk}/change/")
    answer = client.post(f"{LIST}{one.pk}/change/", {"reason": "changed", "csrfmiddlewaretoken": "x"})
    assert answer.status_code == 403
    one.refresh_from_db()
    assert one.reason == "bad_column"


def test_a_letter_shows_what_it_is_and_where_it_comes_from(staff, letter):
    first = letter(raw=b"\xff\x00\xfe", decoded=None)
    second = letter(headers=[["nova.replay-of", str(first.pk)]])
    client = staff(*LOOKING)
    text = page(client, f"{LIST}{second.pk}/change/")
    assert f"/admin/ingestion/deadletter/{first.pk}/change/" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold</b>" not in text
    assert "ff 00 fe" in page(client, f"{LIST}{first.pk}/change/")
    listing = page(client, LIST)
    assert "ff 00 fe" in listing
    for chosen in ("topic=dlq.cdc", "reason=bad_column", "state__exact=waiting", "stored=1h", "q=point"):
        assert second.topic in page(client, f"{LIST}?{chosen}")
    assert "0 dead letters" in page(client, f"{LIST}?state__exact=dismissed")


def test_lists_read_no_whole_messages(staff, letter):
    """A page has a hundred, of up to a megabyte each."""
    long = letter(raw=b"-" + "ö".encode() * 50_000, decoded=["ö" * 50_000])
    Replay.objects.create(letter=long, outcome=Replay.Outcome.REFUSED)
    client = staff(*LOOKING)
    with CaptureQueriesContext(connection) as asked:
        listing = page(client, LIST)
        assert str(long) in page(client, "/admin/ingestion/replay/")
    assert "-" + "ö" * 78 + "…" in listing
    whole = re.compile(r'(?<!SUBSTRING\()"dead_letters"\."(raw|key|headers|decoded)"')
    assert not [one["sql"] for one in asked if whole.search(one["sql"])]
    assert "ö" * 10_000 in page(client, f"{LIST}{long.pk}/change/")


def test_offsets_show_the_lag_of_this_moment(staff):
    topic_id = kafka.topic_ids(topics.DLQ_CDC)[topics.DLQ_CDC]
    low, _ = ends()
    producer = kafka.producer()
    for _ in range(1234):
        producer.produce(topics.DLQ_CDC, b"x")
    producer.flush(20)
    behind = ends()[1] - low
    row = {"topic": topics.DLQ_CDC, "topic_id": topic_id, "partition": 0, "updated_at": datetime.now(UTC)}
    Offset.objects.create(consumer="c-one", next_offset=low, pending_lo=low, pending_hi=low + 5, **row)
    text = page(staff(*LOOKING), "/admin/ingestion/offset/")
    assert f"{behind:,}" in text
    assert f"<strong>{behind}</strong>" in text
    assert f"{low} to {low + 5}" in text
    assert "Kafka does not answer" not in text


def test_backfills_show_how_far_they_are(staff, make_member):
    client, one = staff(*LOOKING), make_member()
    Follow.objects.bulk_create(Follow(follower_id=one, followee_id=make_member()) for _ in range(3))
    BackfillProgress.objects.create(table="follows", rows=1000)
    seen: list[str] = []
    # The table is empty, so this copies nothing; it is at work while it tells how far it is.
    assert backfill.run("blocks", progress=lambda done, of: seen.append(page(client, BACKFILLS))).finished
    assert "running" in seen[0]
    text = page(client, BACKFILLS)
    assert "running" not in text
    assert "finished" in text
    assert "stopped: the next run goes on here" in text
    assert "1,000 of about 1,003 rows (100%)" in text
    assert '<progress max="1" value="0.997">' in text
    row = BackfillProgress.objects.get(table="follows")
    assert client.post(f"{BACKFILLS}{row.pk}/change/", {"rows": 5}).status_code == 403
    assert client.get(f"{BACKFILLS}add/").status_code == 403


@pytest.mark.parametrize("address", ["p=3", "foo=bar", "partition=abc", "p=0&reason=schema"])
def test_replaying_all_that_match_bears_every_address(staff, letter, address):
    """That of a page that is gone since another replayed, too."""
    letter()
    assert staff(*ACTING).get(f"{LIST}replay-matching/?{address}", follow=True).status_code == 200


def test_a_last_letter_that_is_no_number_replays_nothing(staff, letter):
    one, link = letter(), f"{LIST}replay-matching/"
    post(staff(*ACTING), link, link, upto="9" * 5000)
    one.refresh_from_db()
    assert one.state == "waiting"


@pytest.mark.parametrize("query", ["q=a%00b", "topic=%00", "state__exact=%00"])
def test_a_nul_in_a_filter_is_refused(staff, query: str) -> None:
    """PostgreSQL takes none in a text."""
    assert staff(*LOOKING).get(f"{LIST}?{query}").status_code == 400
