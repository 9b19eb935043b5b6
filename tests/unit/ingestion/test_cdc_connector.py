"""The connector's configuration: what must hold, and which differences matter."""

from django.test import override_settings

from ingestion import connector

URL = "postgres://me:p%40ss@db.example:5433/nova?sslmode=require"


@override_settings(CDC_DATABASE_URL=URL)
def test_the_database_comes_from_its_url():
    config = connector.wanted_config()
    wanted = {
        "database.hostname": "db.example",
        "database.port": "5433",
        "database.user": "me",
        "database.password": "p@ss",
        "database.dbname": "nova",
        "database.sslmode": "require",
    }
    assert wanted.items() <= config.items()


@override_settings(CDC_DATABASE_URL=URL)
def test_what_the_decoders_rely_on_is_pinned():
    wanted = {
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "skipped.operations": "none",
        "tombstones.on.delete": "true",
        "publication.autocreate.mode": "disabled",
        "message.key.columns": "public.posts:id;public.follows:follower_id,followee_id;public.comments:id;"
        "public.likes:user_id,post_id;public.blocks:blocker_id,blocked_id,kind",
        "value.converter.schemas.enable": "false",
    }
    assert wanted.items() <= connector.wanted_config().items()


@override_settings(CDC_DATABASE_URL=URL)
def test_differences_name_what_shapes_messages_and_never_a_password():
    wanted = connector.wanted_config()
    live = {**wanted, "name": "x", "database.password": "other", "skipped.operations": "t", "transforms": "unwrap"}
    del live["decimal.handling.mode"]
    found = {difference.key: difference for difference in connector.compare(live, wanted)}
    assert set(found) == {"database.password", "decimal.handling.mode", "skipped.operations", "transforms"}
    assert {key for key, one in found.items() if one.shapes_messages} == set(found) - {"database.password"}
    assert "other" not in str(found["database.password"])
    assert "p@ss" not in str(found["database.password"])
    assert str(found["transforms"]) == "transforms is unwrap, wanted none"


def test_the_placeholder_follows_from_the_secret():
    with override_settings(SECRET_KEY="a" * 50):
        first = connector.unavailable_value()
        assert first == connector.unavailable_value()
    with override_settings(SECRET_KEY="b" * 50):
        assert connector.unavailable_value() != first
