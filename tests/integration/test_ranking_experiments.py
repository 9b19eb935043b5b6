"""Other weights for a share of the viewers: who gets them, how they change, and what is kept of it."""

import threading
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from prometheus_client import REGISTRY

from ranking import experiments, pipeline
from ranking.models import Experiment
from tests.client import wait_until
from tests.feeds import Feeds, member

pytest_plugins = ["tests.ranking_fixtures"]


def made(name: str = "fresh", **fields: Any) -> Experiment:
    """An active experiment for everybody, by freshness alone."""
    numbers = {"freshness": 1, "engagement": 0, "affinity": 0, "decay": 0.2, "share": 100, "active": True}
    experiment = Experiment(name=name, **{**numbers, **fields})
    experiments.save(experiment, by="ann")
    return experiment


@pytest.fixture
def viewer(feeds: Feeds) -> UUID:
    viewer = member()
    for hours in (1, 2, 3):
        author = member()
        feeds.post(author, hours_ago=hours)
        feeds.follow(viewer, author)
    return viewer


def weights(page: pipeline.Page) -> dict[str, Any]:
    (one,) = {tuple(post["weights"].items()) for post in page.posts}
    return dict(one)


def test_its_weights_rank_and_are_told(viewer: UUID) -> None:
    before = pipeline.page(viewer, limit=5, explain=True)
    assert before.experiment is None
    made()
    sample = ("nova_feed_experiment_answers_total", {"experiment": "fresh", "cache": "miss"})
    counted = REGISTRY.get_sample_value(*sample) or 0
    page = pipeline.page(viewer, limit=5, explain=True)
    assert (page.experiment, page.cache_hit) == ("fresh", False)
    told = weights(page)
    assert (told["version"], told["freshness"], told["decay"]) == ("fresh:1", 1, 0.2)
    assert all(post["final"] == pytest.approx(post["freshness"]) for post in page.posts)
    assert REGISTRY.get_sample_value(*sample) == counted + 1
    again = pipeline.page(viewer, limit=5)
    assert (again.cache_hit, again.experiment) == (True, "fresh")
    assert pipeline.page(viewer, limit=5, algo=pipeline.TIME).experiment is None


def test_a_new_version_makes_feeds_anew_and_pages_go_on(viewer: UUID) -> None:
    experiment = made()
    first = pipeline.page(viewer, limit=1)
    experiment.decay = 0.5
    experiments.save(experiment, by="bob")
    page = pipeline.page(viewer, limit=5, explain=True)
    assert (page.cache_hit, weights(page)["version"]) == (False, "fresh:2")
    rest = pipeline.page(viewer, limit=5, cursor=first.cursor)
    assert (rest.snapshot, rest.snapshot_replaced) == (first.snapshot, False)
    assert [post["id"] for post in first.posts + rest.posts] == [post["id"] for post in page.posts]
    experiment.active = False
    experiments.save(experiment, by="bob")
    page = pipeline.page(viewer, limit=5)
    assert (page.cache_hit, page.experiment) == (False, None)
    kept = experiment.versions.values_list("version", "by", "decay", "active")
    assert list(kept) == [(3, "bob", 0.5, False), (2, "bob", 0.5, True), (1, "ann", 0.2, True)]


def test_everyone_stays_in_their_part(feeds: Feeds) -> None:
    """Whichever experiment begins, grows, shrinks, ends or begins again: it takes from those who are in none."""
    viewers = [str(member()) for _ in range(1000)]

    def parts() -> list[str]:
        return [experiments.weights_of(viewer, feeds.now).experiment for viewer in viewers]

    before, names = parts(), ["one", "two", "three"]
    one, two, three = (made(name, share=share, active=False) for name, share in zip(names, (20, 30, 10), strict=True))
    begun: dict[str, list[str]] = {}
    for experiment, active, share in (
        (one, True, 20),
        (two, True, 30),
        (three, True, 10),
        (one, True, 50),
        (two, True, 5),
        (one, False, 50),
        (three, True, 40),
        (one, True, 50),
        (three, False, 40),
    ):
        experiment.active, experiment.share = active, share
        experiments.save(experiment, by="ann")
        after = parts()
        changes = {pair for pair in zip(before, after, strict=True) if len(set(pair)) == 2}
        assert changes <= {("", experiment.name), (experiment.name, "")}, (experiment, changes)
        assert after.count(experiment.name) / len(viewers) == pytest.approx(share / 100 if active else 0, abs=0.06)
        if experiment is one and share == 50:
            # They come back to it, but for those whom another has meanwhile.
            begun.setdefault("one", after)
            lost = [now for then, now in zip(begun["one"], after, strict=True) if then == "one" != now]
            assert set(lost) <= {"three", ""}
        before = after


def test_those_of_before_the_buckets_are_given_theirs(feeds: Feeds) -> None:
    for name, share, active in (("one", 40, True), ("two", 60, True), ("three", 5, False)):
        made(name, share=share, active=active)
    Experiment.objects.update(buckets=b"")
    import_module("ranking.migrations.0003_buckets").divide(apps, None)
    bits = {one.name: int.from_bytes(one.buckets) for one in Experiment.objects.all()}
    assert {name: value.bit_count() for name, value in bits.items()} == {"one": 4000, "two": 6000, "three": 0}
    assert not bits["one"] & bits["two"]


def test_only_within_its_time(feeds: Feeds) -> None:
    made(starts_at=feeds.now, ends_at=feeds.now + timedelta(hours=1))
    names = [
        experiments.weights_of("somebody", feeds.now + timedelta(minutes=minutes)).experiment for minutes in (-1, 0, 60)
    ]
    assert names == ["", "fresh", ""]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"freshness": 0.9}, "freshness"),
        ({"engagement": -0.5, "freshness": 1.5}, "engagement"),
        ({"decay": 0}, "decay"),
        ({"share": 101}, "share"),
        ({"share": 61}, "share"),
        ({"share": 10.005}, "share"),
        ({"name": "other"}, "name"),
    ],
)
def test_what_cannot_be_is_refused(feeds: Feeds, fields: dict[str, Any], fault: str) -> None:
    made("other", share=40)
    with pytest.raises(ValidationError) as caught:
        made(**{"share": 60, **fields})
    assert fault in caught.value.message_dict
    assert Experiment.objects.count() == 1


def test_it_must_start_before_it_ends(feeds: Feeds) -> None:
    with pytest.raises(ValidationError) as caught:
        made(starts_at=feeds.now, ends_at=feeds.now)
    assert list(caught.value.message_dict) == ["ends_at"]


def test_why_a_post_is_not_in_a_feed_is_told_by_the_same_weights(feeds: Feeds, viewer: UUID, settings) -> None:
    settings.SNAPSHOT_POSTS = 2
    made()
    last = min(feeds.rows, key=lambda post: feeds.rows[post]["created_at"])
    said = pipeline.why(viewer, last)
    assert (said.code, said.score and said.score["weights"]["version"]) == ("below_cut", "fresh:1")


def test_staff_edit_in_the_admin_and_the_history_stays(admin_client: Client, feeds: Feeds) -> None:
    form = {
        "name": "slow",
        "freshness": "0.5",
        "engagement": "0.25",
        "affinity": "0.25",
        "decay": "0.05",
        "share": "20",
        "active": "on",
        **{f"versions-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")},
    }
    assert admin_client.post("/admin/ranking/experiment/add/", {**form, "affinity": "0.3"}).status_code == 200
    assert not Experiment.objects.exists()
    assert admin_client.post("/admin/ranking/experiment/add/", form).status_code == 302
    experiment = Experiment.objects.get()
    address = f"/admin/ranking/experiment/{experiment.id}/"
    form |= {"share": "30", "versions-TOTAL_FORMS": "1", "versions-INITIAL_FORMS": "1"}
    answer = admin_client.post(f"{address}change/", form)
    assert answer.status_code == 302, answer.content
    kept = experiment.versions.values_list("version", "by", "share")
    assert list(kept) == [(2, "admin", 30), (1, "admin", 20)]
    page = admin_client.get(f"{address}change/")
    assert page.status_code == 200
    assert admin_client.get("/admin/ranking/experiment/").status_code == 200
    assert admin_client.post(f"{address}delete/", {"post": "yes"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_it_opened_is_given_back(feeds: Feeds) -> None:
    """On the short way to a feed no request ends that would give it back."""
    made()
    connection.close()
    assert experiments.weights_of("somebody", feeds.now).experiment == "fresh"
    assert connection.connection is None


@pytest.mark.django_db(transaction=True)
def test_without_the_database_the_last_known_go_on(feeds: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is taken away: each read fails as it does without PostgreSQL."""
    monkeypatch.setattr(experiments, "REMEMBER_SECONDS", 0)

    def name() -> str:
        return experiments.weights_of("somebody", feeds.now).experiment

    experiment = made()
    assert name() == "fresh"
    # Changed elsewhere: noticed beside the calls.
    Experiment.objects.update(active=False)
    wait_until(lambda: name() == "", "the end of the experiment")
    Experiment.objects.update(active=True)
    wait_until(lambda: name() == "fresh", "the experiment")
    table = experiment._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        assert experiments._read() is None
        assert {name() for _ in range(20)} == {"fresh"}
        experiments.forget()
        assert name() == ""
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")
    wait_until(lambda: name() == "fresh", "the experiment")
    experiments._reader().submit(lambda: None).result()


@pytest.mark.django_db(transaction=True)
def test_the_first_two_at_once_do_not_have_more_than_all_viewers(monkeypatch) -> None:
    both, clean = threading.Barrier(2), Experiment.full_clean

    def slowly(self: Experiment, *given: Any, **named: Any) -> None:
        clean(self, *given, **named)
        with suppress(threading.BrokenBarrierError):
            both.wait(2)

    monkeypatch.setattr(Experiment, "full_clean", slowly)
    refused: list[ValidationError] = []

    def make(name: str) -> None:
        try:
            made(name, share=60)
        except ValidationError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refused), Experiment.objects.filter(active=True).count()) == (1, 1)


def test_what_another_saved_meanwhile_refuses_is_said_in_the_admin(
    admin_client: Client, feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both forms are right when they are looked at; together they have 120 percent."""
    save = experiments.save

    def late(experiment: Experiment, by: str) -> None:
        monkeypatch.setattr(experiments, "save", save)
        made("other", share=60)
        save(experiment, by)

    monkeypatch.setattr(experiments, "save", late)
    numbers = {"freshness": "0.5", "engagement": "0.25", "affinity": "0.25", "decay": "0.05", "share": "60"}
    inline = {f"versions-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    form = {"name": "one", "active": "on", **numbers, **inline}
    answer = admin_client.post("/admin/ranking/experiment/add/", form, follow=True)
    assert answer.status_code == 200
    assert "Nothing was saved" in answer.content.decode()
    assert not Experiment.objects.filter(name="one").exists()
