"""GET /api/feed/stream over a real socket: what is told, to whom, who is let in. Every engine and process is real."""

from uuid import UUID, uuid4

import requests
from django.contrib.auth.hashers import make_password

from nova import redis
from nova.management.commands.issue_token import SERVICE
from tests.apps import Apps
from tests.client import Api, wait_until
from tests.streams import LEASE_SECONDS, Readers, Stream
from tests.world import World

pytest_plugins = ["tests.streams"]

Pair = tuple[UUID, UUID]


def test_a_new_post_of_a_followed_author_is_told(world: World, readers: Readers, api: Api, pair: Pair) -> None:
    author, reader = pair
    stream = readers.holding(reader)
    world.post(author)
    stream.wait_count(1)
    world.post(author)
    stream.wait_count(2)
    # The reader is told of the snapshot that the feed is now, and can read it.
    assert stream.told("snapshot_replaced")[-1] == {"snapshot": api.feed(reader)["snapshot"]}


def test_a_follow_replaces_the_snapshot(world: World, readers: Readers, pair: Pair) -> None:
    _, reader = pair
    other = world.member()
    posts = [world.post(other, hours_ago=hours) for hours in (1, 2, 3)]
    stream = readers.holding(reader)
    before = len(stream.events)
    world.follow(reader, other)
    stream.wait_count(len(posts))
    # How many snapshots it takes depends on what arrives when; each is told before the posts that it brings.
    assert stream.events[before].name == "snapshot_replaced"


def test_the_answer_is_one_that_nobody_keeps_or_collects(readers: Readers, pair: Pair) -> None:
    stream = readers.open(pair[1])
    assert stream.status == 200
    assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert stream.headers["Cache-Control"] == "no-store, no-transform"
    assert stream.headers["X-Accel-Buffering"] == "no"
    assert stream.headers["X-Request-ID"]
    assert "Content-Encoding" not in stream.headers
    assert "Access-Control-Allow-Origin" not in stream.headers
    stream.wait_ready()
    assert stream.retry > 0
    # Heartbeats go on, and nothing is told when nothing happens; what made the pair may still be on its way.
    stream.wait_quiet()
    assert stream.told("new_posts") == []


def test_without_a_snapshot_it_begins_with_the_present_one(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    stream = readers.open(reader)
    stream.wait_ready()
    world.post(author)
    stream.wait_count(1)


def test_who_reads_in_order_of_time_is_told_of_that_feed(
    apps: Apps, world: World, readers: Readers, api: Api, pair: Pair
) -> None:
    author, reader = pair

    def is_the_present_one(stream: Stream) -> bool:
        return stream.told("snapshot_replaced")[-1:] == [{"snapshot": api.feed(reader, "algo=time")["snapshot"]}]

    known = f"algo=time&since={api.feed(reader, 'algo=time')['snapshot']}"
    led = readers.at(f"{apps.url}/api/feed/stream?{known}", {"Authorization": f"Bearer {api.token(reader)}"})
    both = readers.open(reader, known), readers.at(led.headers["Location"])
    for stream in both:
        stream.wait_ready()
    world.post(author)
    for stream in both:
        stream.wait_count(1)
        wait_until(lambda: is_the_present_one(stream), "the snapshot of the feed in order of time")  # noqa: B023
    refused = readers.open(reader, "algo=best").answer()
    assert (refused.status, refused.body["field"]) == (400, "algo")


def test_what_others_post_is_not_told(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    stranger = world.member()
    stream = readers.holding(reader)
    unknown = world.post(stranger)
    wait_until(lambda: world.count(f"posts_cdc WHERE id = '{unknown}'"), "the stranger's post in ClickHouse")
    stream.wait_beats()
    assert stream.told("new_posts") == []
    # The stream is awake, and counts only what this reader's feed shows.
    world.post(author)
    stream.wait_count(1)


def test_posts_of_a_blocked_author_are_not_counted(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    blocked = world.member()
    world.follow(reader, blocked)
    earlier = world.post(blocked)
    world.wait_in_feed(reader, earlier)
    world.sql("INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'block')", reader, blocked)
    wait_until(lambda: str(earlier) not in world.feed_ids(reader), "a feed without the blocked author")
    stream = readers.holding(reader)
    hidden = world.post(blocked)
    wait_until(lambda: world.count(f"posts_cdc WHERE id = '{hidden}'"), "the blocked author's post in ClickHouse")
    stream.wait_beats()
    world.post(author)
    stream.wait_count(1)
    assert stream.told("new_posts") == [{"count": 1}]


def test_a_post_that_is_taken_back_is_no_longer_counted(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    stream = readers.holding(reader)
    post = world.post(author)
    stream.wait_count(1)
    world.sql("DELETE FROM posts WHERE id = %s", post)
    stream.wait_count(0)


def test_who_comes_back_is_told_what_changed_and_nothing_twice(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    first = readers.holding(reader)
    world.post(author)
    first.wait_count(1)
    first.close()
    world.wait_in_feed(reader, world.post(author))

    second = readers.open(reader, last=first.last_id)
    second.wait_count(2)
    assert second.told("new_posts") == [{"count": 2}]
    second.wait_quiet()
    second.close()

    third = readers.open(reader, f"last_event_id={second.last_id}")
    third.wait_beats(3)
    assert third.events == []


def test_an_event_that_was_lost_on_its_way_is_told_again(world: World, readers: Readers, pair: Pair) -> None:
    author, reader = pair
    first = readers.holding(reader)
    world.post(author)
    first.wait_count(1)
    replaced = next(event for event in first.events if event.name == "snapshot_replaced")
    again = readers.open(reader, last=replaced.id)
    again.wait_count(1)
    assert replaced not in again.events


def test_ids_of_others_and_nonsense(readers: Readers, pair: Pair) -> None:
    _, reader = pair
    # An id that this server never gave is as none.
    stream = readers.open(reader, last="12; DROP")
    stream.wait_ready()
    refused = readers.open(reader, "since=yesterday").answer()
    assert (refused.status, refused.body["error"], refused.body["field"]) == (400, "invalid_request", "since")


def test_the_fourth_stream_of_a_viewer_is_refused(readers: Readers, pair: Pair) -> None:
    author, reader = pair
    streams = [readers.open(reader) for _ in range(3)]
    assert [stream.status for stream in streams] == [200] * 3
    refused = readers.open(reader).answer()
    assert (refused.status, refused.body["error"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) == LEASE_SECONDS
    assert set(refused.body) == {"error", "message", "request_id"}
    # Longer than the places last by themselves: they are held.
    streams[0].wait_beats(3 * LEASE_SECONDS)
    assert readers.open(reader).status == 429
    assert readers.open(author).status == 200

    streams[0].close()
    wait_until(lambda: readers.open(reader).status == 200, "a place that was left")


def test_a_killed_process_leaves_no_place_taken(apps: Apps, readers: Readers, pair: Pair) -> None:
    _, reader = pair
    streams = [readers.open(reader) for _ in range(3)]
    apps.process("stream").kill()
    wait_until(lambda: all(stream.ended_well is not None for stream in streams), "the end of the streams")
    apps.restart("stream")
    opened: list[Stream] = []

    def three_are_open() -> bool:
        opened.append(readers.open(reader))
        return sum(stream.status == 200 for stream in opened) == 3

    wait_until(three_are_open, "three places")
    assert readers.open(reader).status == 429


def test_who_is_let_in(apps: Apps, readers: Readers, api: Api, pair: Pair) -> None:
    _, reader = pair
    nobody = readers.at("/api/feed/stream").answer()
    assert (nobody.status, nobody.body["error"]) == (401, "not_authenticated")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    forged = readers.at("/api/feed/stream", {"Authorization": "Bearer ey.no.token"}).answer()
    assert (forged.status, forged.body["error"]) == (401, "not_authenticated")
    other = {"Authorization": f"Bearer {api.token(uuid4())}", "X-Act-For": str(reader)}
    assert readers.at("/api/feed/stream", other).status == 403
    service = {"Authorization": f"Bearer {api.token(uuid4(), service=True)}", "X-Act-For": str(reader)}
    assert [readers.at("/api/v1/feed/stream", service).status for _ in range(5)] == [200] * 5
    elsewhere = readers.at("/api/feed/stream", {**service, "Host": "elsewhere.example"}).answer()
    assert (elsewhere.status, elsewhere.body["error"]) == (400, "invalid_request")
    own = {"Authorization": f"Bearer {api.token(reader)}"}
    # More parameters than Django reads.
    flood = readers.at(f"/api/feed/stream?{'a&' * 2000}", own).answer()
    assert (flood.status, flood.body["error"]) == (400, "invalid_request")
    # An empty ticket is none: it is the token that lets in, and the call is counted.
    stream = readers.at("/api/feed/stream?ticket=", own)
    assert stream.status == 200
    assert "RateLimit-Limit" in stream.headers
    assert "Access-Control-Allow-Origin" not in stream.headers


def _ticket(api: Api, member: UUID) -> dict[str, str]:
    made = api.post("/api/feed/stream/ticket", member, None, as_viewer=True)
    assert made.status == 201
    return dict(made.body)


def test_a_ticket_opens_one_stream(world: World, readers: Readers, api: Api, pair: Pair) -> None:
    author, reader = pair
    ticket = _ticket(api, reader)
    stream = readers.at(ticket["url"])
    assert stream.status == 200
    # Pages of another origin may read it: the ticket is all that lets in.
    assert stream.headers["Access-Control-Allow-Origin"] == "*"
    stream.wait_ready()
    world.post(author)
    stream.wait_count(1)

    for url in (ticket["url"], f"/api/feed/stream?ticket={'x' * 43}"):
        refused = readers.at(url).answer()
        assert (refused.status, refused.body["error"]) == (401, "not_authenticated")


def test_a_ticket_expires(readers: Readers, api: Api, pair: Pair) -> None:
    ticket = _ticket(api, pair[1])
    (key,) = [key for key in redis.cache().keys("ticket:v1:*") if redis.cache().get(key) == str(pair[1]).encode()]
    assert ticket["ticket"].encode() not in key
    assert 0 < redis.cache().ttl(key) <= int(ticket["expires_in"])
    redis.cache().pexpire(key, 1)
    wait_until(lambda: not redis.cache().exists(key), "the ticket's end")
    assert readers.at(ticket["url"]).status == 401


def test_the_web_server_leads_to_the_stream(apps: Apps, world: World, readers: Readers, api: Api, pair: Pair) -> None:
    author, reader = pair
    headers = {"Authorization": f"Bearer {api.token(reader)}"}
    there = readers.at(f"{apps.url}/api/feed/stream?since={api.feed(reader)['snapshot']}", headers)
    assert there.status == 307
    stream = readers.at(there.headers["Location"])
    stream.wait_beats(1)
    world.post(author)
    stream.wait_count(1)
    stream.close()
    # What a browser sends when it comes back by the first address.
    back = readers.at(f"{apps.url}/api/feed/stream", {**headers, "Last-Event-ID": stream.last_id})
    again = readers.at(back.headers["Location"])
    again.wait_beats(3)
    assert again.events == []
    assert readers.at(f"{apps.url}/api/feed/stream").status == 401


def test_a_stream_is_opened_by_get_alone(apps: Apps, api: Api, pair: Pair) -> None:
    headers = {"Authorization": f"Bearer {api.token(pair[1])}"}
    for url in (apps.url, apps.stream_url):
        answer = requests.head(f"{url}/api/feed/stream", headers=headers, allow_redirects=False)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, OPTIONS")


def test_a_service_that_is_led_to_the_stream_takes_no_place_of_the_members(
    apps: Apps, readers: Readers, api: Api, pair: Pair
) -> None:
    _, reader = pair
    service = {"Authorization": f"Bearer {api.token(SERVICE, service=True)}", "X-Act-For": str(reader)}
    for _ in range(4):
        led = readers.at(f"{apps.url}/api/feed/stream", service)
        assert readers.at(led.headers["Location"]).status == 200
    assert [readers.open(reader).status for _ in range(4)] == [200, 200, 200, 429]


def test_a_session_opens_a_stream(apps: Apps, world: World, readers: Readers) -> None:
    member = world.member()
    session = _logged_in(apps, world, member)
    assert readers.at("/api/feed/stream", {"Cookie": f"sessionid={session}"}).status == 200
    assert readers.at("/api/feed/stream", {"Cookie": "sessionid=forged"}).status == 401
    assert readers.at("/api/feed/stream", {"Cookie": r'sessionid="\000forged"'}).status == 401


def _logged_in(apps: Apps, world: World, member: UUID) -> str:
    """The cookie of a session of this member, made staff for it: only staff has a page to log in at."""
    statement = "UPDATE users SET is_staff = true, password = %s WHERE id = %s RETURNING username"
    name = world.sql_one(statement, make_password("correct horse"), member)
    browser = requests.Session()
    browser.get(f"{apps.url}/admin/login/")
    form = {"username": name, "password": "correct horse", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    browser.post(f"{apps.url}/admin/login/", data=form, allow_redirects=False)
    return browser.cookies["sessionid"]
