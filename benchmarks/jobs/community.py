"""A community of any size, made inside ClickHouse: who follows whom, and whose posts they reacted to."""

import time

from nova import clickhouse

FOLLOWS, REACTIONS, NEIGHBOURS = 40, 20, 500
SHAPE = (
    f"{FOLLOWS} follows a member, 7 of 10 among {NEIGHBOURS} neighbours, the rest by popularity; {REACTIONS} reactions"
    " a member in 80 days"
)
_MERGED_SECONDS = 120


def identifier(number: str) -> str:
    """SQL for a member's id from their number: the same in every table."""
    halves = (f"reinterpretAsString(sipHash64(toUInt64({number}){more}))" for more in ("", ", 1"))
    return f"reinterpretAsUUID(concat({', '.join(halves)}))"


def populate(members: int) -> None:
    """Replace the community by one of so many members; returns when nothing is merged any more."""
    for table in ("follows_cdc", "user_author_90d"):
        clickhouse.command(f"TRUNCATE TABLE {table}")
    near = f"intDiv(a, {NEIGHBOURS}) * {NEIGHBOURS} + rand(2) % {NEIGHBOURS}"
    popular = f"toUInt64(pow(rand(3) / 4294967296., 3) * {members})"
    someone = f"least({members - 1}, if(rand(1) % 10 < 7, {near}, {popular}))"
    pairs = f"SELECT intDiv(number, {{0}}) AS a, {someone} AS b FROM numbers({{1}})"
    follows = pairs.format(FOLLOWS, members * FOLLOWS)
    clickhouse.command(
        f"INSERT INTO follows_cdc SELECT {identifier('a')}, {identifier('b')}, generateUUIDv4(), now64(6), 1, 0"
        f" FROM ({follows}) WHERE a != b",
        timeout=3600,
    )
    reactions = pairs.format(REACTIONS, members * REACTIONS)
    clickhouse.command(
        f"INSERT INTO user_author_90d SELECT {identifier('a')}, {identifier('b')}, today() - rand(5) % 80, 1, 0, 0, 1"
        f" FROM ({reactions}) WHERE a != b",
        timeout=3600,
    )
    _wait_for_merges()


def _wait_for_merges() -> None:
    """What merges still cost belongs to the making."""
    end = time.monotonic() + _MERGED_SECONDS
    while time.monotonic() < end and clickhouse.query("SELECT count() FROM system.merges")[0][0]:
        time.sleep(0.2)
