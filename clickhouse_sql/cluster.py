"""The declared schema as a cluster has it, rendered from the same .sql files.

What members do and whom they follow is spread: such a table `x` becomes `x_local`, replicated within its shard, and a
Distributed `x` over the `x_local` of all shards, so that whoever reads or writes `x` need not know. Posts and blocks
are few beside them and asked for by every ranking: each host has all of them, under their own names.

A view joins tables of one host: it runs where its source row is stored, in the same insert, so one token covers both,
and what it writes lies on that shard too. Hence the keys below: a target that holds its source's key is found by it
(one member's rows lie together); a target that does not is spread, each shard holds a part of its sums, and a reader
adds them up (`GROUP BY`, which every query of them has).

Needs the macros {shard} and {replica} on each host. docs/architecture/scale.md says what this costs and carries.
"""

import re
from dataclasses import replace

from clickhouse_sql.schema import Script

SUFFIX = "_local"
# By what the rows of a table are put on a shard. It must be true of rows that a view wrote, too: by it a reader with
# such a key is led to one shard. rand(): nobody is led anywhere, all shards are asked.
SHARDED_BY = {
    "events": "cityHash64(user_id)",
    "event_ids": "rand()",
    "seen_posts": "cityHash64(user_id)",
    "user_author_90d": "cityHash64(user_id)",
    "post_metrics_1h": "rand()",
    "post_counters": "rand()",
    "follows_cdc": "cityHash64(follower_id)",
    "likes_cdc": "cityHash64(user_id)",
    "comments_cdc": "cityHash64(user_id)",
}
EVERYWHERE = {
    "posts_cdc",
    "posts_by_author",
    "blocks_cdc",
    "blocks_by_blocked",
    "restore_epochs",
    "truncations",
    "schema_changes",
}
# A token is remembered by count, as on one host, and by age; the age must exceed the longest outage.
_TOKEN_SECONDS = 7 * 86_400

_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\n(.*)\nENGINE = (\w*MergeTree)(?:\((.*?)\))?(.*)", re.DOTALL)
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+) AS\n(.*?)\bFROM (\w+)\b(.*)", re.DOTALL)


def render(script: Script, cluster: str, *, everywhere: bool = True) -> Script:
    """`script` for a cluster of that name in the servers' `remote_servers`. everywhere: each statement reaches every
    host (ON CLUSTER); else only the one it is sent to.

    Raises `ValueError` for a statement that is neither a table nor a view of the declared schema.
    """
    on = f" ON CLUSTER `{cluster}`" if everywhere else ""
    return replace(script, statements=tuple(one for text in script.statements for one in _rendered(text, cluster, on)))


def _rendered(statement: str, cluster: str, on: str) -> list[str]:
    if table := _TABLE.fullmatch(statement):
        return _table(*table.groups(default=""), cluster=cluster, on=on)
    if view := _VIEW.fullmatch(statement):
        name, target, columns, source, rest = view.groups()
        return [
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name}{on} TO {_local(target)} AS\n"
            f"{columns}FROM {_local(source)} AS {source}{rest}"
        ]
    raise ValueError(f"This cannot be rendered for a cluster: {statement.splitlines()[0]}")


def _local(name: str) -> str:
    return name if name in EVERYWHERE else name + SUFFIX


def _table(name: str, columns: str, engine: str, arguments: str, rest: str, *, cluster: str, on: str) -> list[str]:
    if name not in SHARDED_BY and name not in EVERYWHERE:
        raise ValueError(f"{name}: say in clickhouse_sql/cluster.py by what it is sharded")
    local = _local(name)
    shard, replica = ("all", "{shard}-{replica}") if name in EVERYWHERE else ("{shard}", "{replica}")
    known = ", ".join(
        [f"'/clickhouse/tables/{shard}/{{database}}/{{table}}'", f"'{replica}'", *filter(None, [arguments])]
    )
    window = f"replicated_deduplication_window_seconds = {_TOKEN_SECONDS}, replicated_deduplication_window ="
    kept = rest.replace("non_replicated_deduplication_window =", window)
    statements = [f"CREATE TABLE IF NOT EXISTS {local}{on}\n{columns}\nENGINE = Replicated{engine}({known}){kept}"]
    if name not in EVERYWHERE:
        statements.append(
            f"CREATE TABLE IF NOT EXISTS {name}{on} AS {local}\n"
            f"ENGINE = Distributed(`{cluster}`, currentDatabase(), {local}, {SHARDED_BY[name]})"
        )
    return statements
