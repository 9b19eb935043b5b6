"""The page at `/` as its users see it: why a post is there, and how the feed reacts, through the whole path."""

from uuid import uuid4

import requests
from playwright.sync_api import Page, Route, expect

from embedded.testing import Stack
from nova import redis
from ranking import hotlist, trending
from tests.apps import Apps
from tests.browser.feeds import befriended, card_of, open_as, say
from tests.client import wait_until
from tests.world import World


def test_shows_the_members_feed_and_why_each_post_is_there(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author, "Look <script>alert('here')</script> & <b>there</b>")
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)

    card = card_of(page, post)
    expect(card.locator(".text")).to_have_text("Look <script>alert('here')</script> & <b>there</b>")
    expect(card.locator(".tag", has_text="Following")).to_be_visible()
    for part, weight in (("freshness", "0.30"), ("engagement", "0.40"), ("affinity", "0.30")):
        expect(card.locator(f".score .{part} .sum")).to_contain_text(f"× {weight} =")
    expect(card.locator(".score .final dd")).not_to_be_empty()
    expect(page.locator("#pulse")).to_contain_text("algorithmch")
    expect(page.locator("#pulse")).to_contain_text("breakerclosed")


def test_following_somebody_brings_their_post_into_the_feed(page: Page, apps: Apps, world: World) -> None:
    # The reader has something to read already: to who has nothing, the newest posts of all are shown.
    (known, reader), author, friend = befriended(world), world.member(), world.member()
    first, post = world.post(known), world.post(author)
    say(world, friend, post)
    world.wait_in_feed(reader, first)
    open_as(page, apps, reader)
    expect(card_of(page, first)).to_be_visible()
    expect(card_of(page, post)).to_have_count(0)

    name = world.sql_one("SELECT display_name FROM users WHERE id = %s", author)
    page.get_by_placeholder("Search people").fill(name)
    page.locator("#people").get_by_role("button", name=f"Follow {name}", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("Following")
    # Nobody reloads: the page sees by itself that the feed changed, and shows it to who stands at its top.
    page.evaluate("window.scrollTo(0, 0)")
    expect(card_of(page, post)).to_be_visible()

    card_of(page, post).get_by_role("button", name="Unfollow").click()
    expect(card_of(page, post)).to_have_count(0)


def test_a_like_and_a_comment_raise_the_counts_there_and_in_clickhouse(page: Page, apps: Apps, world: World) -> None:
    (author, reader), other = befriended(world), world.member()
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card = card_of(page, post)
    likes, comments = card.locator('[data-count="likes"]'), card.locator('[data-count="comments"]')
    expect(likes).to_have_text("0")

    like = card.get_by_role("button", name="likes")
    # A list of buttons read aloud tells of whose post each is.
    name = card.locator("header a").inner_text()
    expect(like).to_have_accessible_description(name)
    expect(card.get_by_role("button", name="Open")).to_have_accessible_description(name)
    like.click()
    expect(like).to_have_accessible_description(name)
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(likes).to_have_text("1")
    # Somebody else's like arrives without a reload.
    world.sql("INSERT INTO likes (user_id, post_id) VALUES (%s, %s)", other, post)
    expect(likes).to_have_text("2")

    card.get_by_role("button", name="Open").click()
    card.get_by_label("Comment as").fill("Well said <i>indeed</i>")
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".comments li p")).to_have_text("Well said <i>indeed</i>")
    expect(comments).to_have_text("1")
    wait_until(
        lambda: (world.counters(post)["likes"], world.counters(post)["comments"]) == (2, 1), "them in ClickHouse"
    )

    like.click()
    expect(like).to_have_attribute("aria-pressed", "false")
    expect(likes).to_have_text("1")
    wait_until(lambda: world.counters(post)["likes"] == 1, "the like taken back in ClickHouse")


def test_opening_a_post_is_told_as_a_view(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author, "word " * 200 + "the end")
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card = card_of(page, post)
    expect(card.locator(".text")).not_to_contain_text("the end")
    card.get_by_role("button", name="Read more").click()
    expect(card.locator(".text")).to_contain_text("the end")
    wait_until(lambda: world.counters(post)["views"] == 1, "the view in ClickHouse")


def test_of_many_comments_the_latest_are_shown_and_the_others_told(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    say(world, world.member(), post, 23)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card = card_of(page, post)
    card.get_by_role("button", name="Open").click()
    expect(card.locator(".comments li")).to_have_count(20)
    expect(card.locator(".comments")).to_contain_text("3 earlier ones not shown")


def test_muting_takes_an_author_out_at_once_and_undo_brings_them_back(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    card = card_of(page, post)
    card.locator(".dots summary").click()
    card.get_by_role("button", name="Mute").click()
    expect(card).to_have_count(0)
    expect(page.locator("#hidden-people")).to_contain_text("muted")
    wait_until(lambda: str(post) not in world.feed_ids(reader), "a feed without the muted author")

    page.locator("#notice").get_by_role("button", name="Undo").click()
    expect(card).to_be_visible()
    expect(page.locator("#hidden-people")).to_contain_text("Nobody")


def test_a_new_post_is_announced_without_moving_the_page(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    others = [world.member() for _ in range(8)]
    posts = [world.post(other) for other in others]
    for other in others:
        world.follow(reader, other)
    world.wait_in_feed(reader, *posts)
    open_as(page, apps, reader)
    expect(page.locator(".card").nth(8)).to_be_visible()
    page.evaluate("window.scrollTo(0, 900)")

    text = f"news of {uuid4().hex}"
    writing = page.context.new_page()
    try:
        open_as(writing, apps, author)
        writing.get_by_label("Post as").fill(text)
        writing.get_by_role("button", name="Post").click()
        expect(writing.locator("#notice")).to_contain_text("Posted.")
    finally:
        writing.close()

    expect(page.locator("#newer")).to_have_text("1 new post")
    assert page.evaluate("window.scrollY") == 900
    expect(page.get_by_text(text)).to_have_count(0)
    page.locator("#newer").click()
    expect(page.locator(".card").get_by_text(text)).to_be_visible()


def test_the_stream_tells_of_new_posts_without_the_pulse(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    posts = [world.post(author, hours_ago=hours) for hours in range(1, 9)]
    world.wait_in_feed(reader, *posts)
    page.route("**/pulse*", lambda route: route.fulfill(status=204))
    open_as(page, apps, reader)
    expect(page.locator(".card").nth(7)).to_be_visible()
    page.evaluate("window.scrollTo(0, 900)")

    first = world.post(author)
    expect(page.locator("#newer")).to_have_text("1 new post")
    second = world.post(author)
    expect(page.locator("#newer")).to_have_text("2 new posts")
    world.sql("DELETE FROM posts WHERE id = %s", second)
    expect(page.locator("#newer")).to_have_text("1 new post")
    page.locator("#newer").click()
    expect(card_of(page, first)).to_be_visible()

    # The reader stands at the top: what comes now is shown at once, and again.
    for _ in range(2):
        expect(card_of(page, world.post(author))).to_be_visible()


def test_the_pulse_tells_while_there_is_no_stream(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    world.wait_in_feed(reader, world.post(author))
    page.route("**/stream*", lambda route: route.abort())
    open_as(page, apps, reader)
    expect(card_of(page, world.post(author))).to_be_visible()


def test_the_page_goes_on_when_the_stream_comes_back(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    world.wait_in_feed(reader, world.post(author))
    page.route("**/pulse*", lambda route: route.fulfill(status=204))
    open_as(page, apps, reader)
    expect(card_of(page, world.post(author))).to_be_visible()
    apps.restart("stream")
    expect(card_of(page, world.post(author))).to_be_visible()


def test_a_refused_act_is_said_and_the_page_stays(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    expect(card_of(page, post)).to_be_visible()
    world.sql("DELETE FROM posts WHERE id = %s", post)
    card_of(page, post).get_by_role("button", name="likes").click()
    expect(page.locator("#notice")).to_contain_text("There is no such post.")
    # The next pulse takes it away.
    expect(card_of(page, post)).to_have_count(0)


def test_an_act_that_did_not_reach_the_server_is_told_until_one_does(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    page.route("**/like/*", lambda route: route.abort(), times=1)
    like = card_of(page, post).get_by_role("button", name="likes")
    like.click()
    expect(page.locator("#notice")).to_contain_text("may not have been done")
    for _ in range(2):  # the page's own rounds, which go well, do not make it forgotten
        with page.expect_response("**/pulse*"):
            pass
    expect(page.locator("#notice")).to_contain_text("may not have been done")
    expect(like).to_have_attribute("aria-pressed", "false")
    like.click()
    expect(like).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#notice")).to_be_empty()


def test_a_server_that_was_away_for_a_moment_is_forgotten(page: Page, apps: Apps, world: World) -> None:
    """As behind a proxy, which answers in its place."""
    open_as(page, apps, world.member())
    page.route("**/pulse*", lambda route: route.fulfill(status=502, body="Bad gateway"), times=1)
    expect(page.locator("#notice")).to_contain_text("This page keeps trying")
    expect(page.locator("#notice")).to_be_empty()


def test_a_trending_post_tells_whether_it_is_in_this_feed(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    text = f"Everybody talks about {uuid4().hex}"
    post = world.post(author, text)
    for number in range(1, 7):
        world.sql(
            "INSERT INTO comments (user_id, post_id, text) SELECT %s, %s, 'me too ' || n FROM generate_series(1, 50) n",
            world.member(),
            post,
        )
        wait_until(lambda many=50 * number: world.counters(post)["comments"] == many, "the comments in ClickHouse")
    # Without kept lists, the page works out what is trending now.
    redis.cache().delete(*(key(window) for key in (trending.key, hotlist.key) for window in trending.WINDOWS))
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    item = page.locator(".trending li", has_text=text)
    # An answer that is lost can be asked for again.
    page.route("**/why/*", lambda route: route.abort(), times=1)
    asked = item.get_by_text("Is it in this feed?")
    asked.click()
    expect(page.locator("#notice")).to_contain_text("does not answer")
    asked.click()
    expect(item.locator(".place")).not_to_have_attribute("open", "")
    asked.click()
    place = world.feed_ids(reader).index(str(post)) + 1
    expect(item.locator(".answer")).to_contain_text(f"Yes, at place {place} of ")


def test_lists_whose_first_answer_was_lost_are_asked_for_again(page: Page, apps: Apps, world: World) -> None:
    reader, muted = world.member(), world.member()
    world.sql("INSERT INTO blocks (blocker_id, blocked_id, kind) VALUES (%s, %s, 'mute')", reader, muted)
    lists = {"#people": "**/people*", "#hidden-people": "**/hidden"}
    for address in lists.values():
        page.route(address, lambda route: route.abort(), times=1)
    open_as(page, apps, reader)
    for place in lists:
        expect(page.locator(f"{place} .people")).to_be_visible()


def test_a_page_that_was_loaded_unseen_has_its_lists_when_one_looks(page: Page, apps: Apps, world: World) -> None:
    """As in a tab that was opened in the background."""
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => !window.seen })")
    open_as(page, apps, world.member())
    expect(page.locator("#people")).to_contain_text("Loading")
    page.evaluate("window.seen = true")
    expect(page.locator("#people .people")).to_be_visible()
    expect(page.locator("#hidden-people")).to_have_text("Nobody.")


def test_stays_usable_without_clickhouse(page: Page, apps: Apps, world: World, stack: Stack) -> None:
    author, reader = befriended(world)
    post = world.post(author)
    world.wait_in_feed(reader, post)
    open_as(page, apps, reader)
    expect(page.locator("#pulse")).to_contain_text("algorithmch")
    stack.engine("clickhouse").kill()
    try:
        # Without the kept feed the next one has to be made: from PostgreSQL, and this is said. A job that ran may have
        # left lists of what is trending, which outlive the outage.
        redis.cache().delete(f"feed:v1:{reader}", *(hotlist.key(window) for window in trending.WINDOWS))
        wait_until(lambda: world.api.feed(reader)["algorithm"] == "time", "a feed in order of time")
        expect(page.locator("#pulse")).to_contain_text("algorithmtime")
        expect(page.locator("#feed")).to_contain_text("ClickHouse does not answer")
        card_of(page, post).get_by_role("button", name="likes").click()
        expect(card_of(page, post).locator('[data-count="likes"]')).to_have_text("1")
        page.reload()
        expect(card_of(page, post)).to_be_visible()
        expect(page.get_by_text("Trending needs ClickHouse")).to_be_visible()
    finally:
        stack.engine("clickhouse").start()
    expect(page.locator("#pulse")).to_contain_text("algorithmch")
    expect(card_of(page, post).locator(".score")).to_be_visible()


def test_show_more_goes_on_by_cursor(page: Page, apps: Apps, world: World) -> None:
    author, reader = befriended(world)
    posts = [world.post(author, hours_ago=hours) for hours in range(1, 26)]
    world.wait_in_feed(reader, *posts)
    open_as(page, apps, reader)
    cards = page.locator(".card")
    expect(cards).to_have_count(20)

    def late(route: Route) -> None:
        with page.expect_response("**/pulse*"):  # the page's own round comes between
            pass
        route.continue_()

    page.route("**/feed?cursor=*", late)
    page.get_by_role("link", name="Show more").click()
    expect(cards.nth(20)).to_be_visible()
    shown = cards.evaluate_all("cards => cards.map(card => card.id)")
    assert shown == [f"post-{post}" for post in world.feed_ids(reader)[: len(shown)]]
    # Who reads with the keyboard goes on at the first new post.
    expect(cards.nth(20)).to_be_focused()


def test_a_search_that_postgresql_would_not_take(page: Page, apps: Apps, world: World) -> None:
    member = world.member()
    for path in ("/?q=%00", "/page/members?q=%00", f"/page/{member}/people?q=a%00"):
        assert requests.get(f"{apps.url}{path}", timeout=30).status_code == 400, path


def test_a_member_is_found_by_name(page: Page, apps: Apps, world: World) -> None:
    reader, wanted = world.member(), world.member()
    name = world.sql_one("SELECT username FROM users WHERE id = %s", wanted)
    open_as(page, apps, reader)
    page.locator(".chooser summary").click()
    page.get_by_label("Whose feed?").fill(name)
    page.locator("#member-results").get_by_role("link", name=name).click()
    page.wait_for_url(f"**/?as={wanted}")


def test_enter_in_the_search_for_people_keeps_what_it_found(page: Page, apps: Apps, world: World) -> None:
    reader, wanted = world.member(), world.member()
    name = world.sql_one("SELECT display_name FROM users WHERE id = %s", wanted)
    open_as(page, apps, reader)
    search = page.get_by_placeholder("Search people")
    search.fill(name)
    search.press("Enter")
    with page.expect_response("**/pulse*"):  # of the page that is there then
        pass
    expect(search).to_have_value(name)
    expect(page.locator("#people").get_by_role("button", name=f"Follow {name}", exact=True)).to_be_visible()
    expect(page.locator("#people li")).to_have_count(1)
