"""The door to ClickHouse: queries over the native protocol, bulk inserts over HTTP as bytes.

Every failure leaves here as a `nova.errors` class, so that callers decide by class and never by text.
"""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlencode

import urllib3
from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors
from django.conf import settings

from nova.errors import Ambiguous, NovaError, Overloaded, Permanent, Transient

# Server error codes, by what they mean for the caller. The numbers are ClickHouse's ErrorCodes.cpp.
_OVERLOADED = {
    202,  # TOO_MANY_SIMULTANEOUS_QUERIES
    241,  # MEMORY_LIMIT_EXCEEDED
    252,  # TOO_MANY_PARTS, also: more than max_partitions_per_insert_block
    243,  # NOT_ENOUGH_SPACE
    439,  # CANNOT_SCHEDULE_TASK
    745,  # SERVER_OVERLOADED
}
_TRANSIENT = {
    32,  # ATTEMPT_TO_READ_AFTER_EOF
    159,  # TIMEOUT_EXCEEDED
    164,  # READONLY
    198,  # DNS_ERROR
    209,  # SOCKET_TIMEOUT
    210,  # NETWORK_ERROR
    219,  # DATABASE_NOT_EMPTY
    236,  # ABORTED
    242,  # TABLE_IS_READ_ONLY
    279,  # ALL_CONNECTION_TRIES_FAILED
    285,  # TOO_FEW_LIVE_REPLICAS
    319,  # UNKNOWN_STATUS_OF_INSERT
    394,  # QUERY_WAS_CANCELLED
    395,  # FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
    425,  # SYSTEM_ERROR
    473,  # DEADLOCK_AVOIDED
    735,  # QUERY_WAS_CANCELLED_BY_CLIENT
    999,  # KEEPER_EXCEPTION
    1000,  # POCO_EXCEPTION
    1001,  # STD_EXCEPTION
}

# What every insert must carry for the no-loss, no-duplicate design to hold, on any server default.
INSERT_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "deduplicate_insert": "enable",
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    # One insert is one block, or a token would cover only a part of it.
    "max_insert_block_size": 1_048_448,
    "min_insert_block_size_rows": 1_048_448,
    "min_insert_block_size_bytes": 0,
    "input_format_parallel_parsing": 0,
    # One table after the other, so that a killed server leaves at most one with a token and without its rows.
    "parallel_view_processing": 0,
    # Through a Distributed table: answered when every shard has its part, and each shard knows the token.
    "distributed_foreground_insert": 1,
}
MAX_ROWS = 1_048_448
# What a query needs where tables are Distributed (clickhouse_sql/cluster.py); on one host they change nothing. A list
# in a subquery is made once and sent along, and a shard that cannot have a member's rows is not asked.
_OVER_SHARDS = {"distributed_product_mode": "global", "optimize_skip_unused_shards": 1}
# Nobody reads the server's counters of each query, which would be a third of what a short one makes us read.
_TERSE = {"send_profile_events": 0}

# A temporary table: its (name, type) columns and its rows.
Table = tuple[Sequence[tuple[str, str]], Sequence[tuple[Any, ...]]]


def classify(code: int, text: str) -> NovaError:
    """The decision for a server's error `code`; `text` is what the server said."""
    if code == 252 and "partitions for single INSERT" in text:
        return Permanent(text)
    kind = Overloaded if code in _OVERLOADED else Transient if code in _TRANSIENT else Permanent
    return kind(f"ClickHouse error {code}: {text}")


def _new_client(database: str | None = None, timeout: float = 30) -> Client:
    where = settings.CLICKHOUSE
    return Client(
        host=where["host"],
        port=where["port"],
        database=where["database"] if database is None else database,
        user=where["user"],
        password=where["password"],
        secure=where["secure"],
        connect_timeout=min(timeout, 3),
        send_receive_timeout=timeout,
        sync_request_timeout=min(timeout, 3),
        client_name="nova",
        tcp_keepalive=True,
        settings={"server_side_params": True, **_OVER_SHARDS, **_TERSE},
    )


@contextmanager
def _as_decisions() -> Iterator[None]:
    try:
        yield
    except driver_errors.ServerException as error:
        raise classify(error.code, str(error.message).split("Stack trace")[0].strip()) from error
    except (driver_errors.NetworkError, driver_errors.SocketTimeoutError, EOFError, OSError) as error:
        raise Ambiguous(f"ClickHouse did not answer: {error or type(error).__name__}") from error
    except driver_errors.Error as error:
        raise Ambiguous(f"ClickHouse answered something unreadable: {error}") from error


class _Pool:
    """Clients of the native protocol, each used by one thread at a time."""

    def __init__(self, size: int) -> None:
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._room = threading.Semaphore(size)

    @contextmanager
    def client(self, timeout: float) -> Iterator[Client]:
        if not self._room.acquire(timeout=timeout):
            raise Transient(f"no free ClickHouse connection within {timeout} s")
        client: Client | None = None
        try:
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = _new_client()
            # The pool is shared by callers with different patience.
            client.connection.send_receive_timeout = timeout
            client.connection.connect_timeout = min(timeout, 3)
            client.connection.sync_request_timeout = min(timeout, 3)
            if client.connection.socket is not None:
                client.connection.socket.settimeout(timeout)
            with _as_decisions():
                yield client
            self._idle.put(client)
        except BaseException as error:
            if client is not None:
                if isinstance(error.__cause__, driver_errors.ServerException):
                    self._idle.put(client)
                else:
                    client.disconnect()
            raise
        finally:
            self._room.release()


@cache
def _pool() -> _Pool:
    return _Pool(settings.CLICKHOUSE_POOL)


def query(
    sql: str,
    params: Mapping[str, Any] | None = None,
    *,
    timeout: float = 30,
    server_settings: Mapping[str, Any] | None = None,
    columnar: bool = False,
    tables: Mapping[str, Table] | None = None,
) -> list[Any]:
    """Rows (tuples), or columns with `columnar`, of a SELECT. `params` fill `{name:Type}` placeholders on the server.

    timeout: seconds for the whole call, on the server and on the wire. tables: temporary ones that travel with the
    query, for lists too long for a statement.
    Raises a `nova.errors` class: `Ambiguous` when no answer came, `Transient`, `Overloaded`, `Permanent`.
    """
    limits = {"max_execution_time": max(1, round(timeout)), "timeout_overflow_mode": "throw", **(server_settings or {})}
    with _pool().client(timeout) as client:
        rows: list[Any] = client.execute(
            sql,
            dict(params or {}),
            columnar=columnar,
            settings=limits,
            external_tables=[
                {"name": name, "structure": list(structure), "data": list(data)}
                for name, (structure, data) in (tables or {}).items()
            ],
        )
        return rows


def command(
    sql: str,
    params: Mapping[str, Any] | None = None,
    *,
    database: str | None = None,
    timeout: float = 60,
    server_settings: Mapping[str, Any] | None = None,
) -> None:
    """Run one statement without a result (DDL, INSERT … SELECT) on a connection of its own. Raises as `query` does."""
    client = _new_client(database, timeout)
    try:
        with _as_decisions():
            client.execute(sql, dict(params or {}) or None, settings=dict(server_settings or {}))
    finally:
        client.disconnect()


class Session:
    """One connection that keeps its temporary tables, for one thread at a time. Made by `session`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def run(
        self,
        sql: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float,
        server_settings: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Run one statement; the rows of a SELECT. timeout: seconds on the server. Raises as `query` does."""
        limits = {
            "max_execution_time": max(1, round(timeout)),
            "timeout_overflow_mode": "throw",
            **(server_settings or {}),
        }
        with _as_decisions():
            found = self._client.execute(sql, dict(params or {}) or None, settings=limits)
        return found if isinstance(found, list) else []


@contextmanager
def session(silence: float = 60) -> Iterator[Session]:
    """A connection of one's own; its temporary tables end with it. silence: most seconds without a sign of the
    server."""
    client = _new_client(timeout=silence)
    try:
        yield Session(client)
    finally:
        client.disconnect()


@cache
def _http() -> urllib3.HTTPConnectionPool:
    where = settings.CLICKHOUSE
    kind = urllib3.HTTPSConnectionPool if where["secure"] else urllib3.HTTPConnectionPool
    return kind(where["host"], where["http_port"], maxsize=8, retries=False)


def insert_bytes(
    table: str,
    columns: Sequence[str],
    data: bytes,
    *,
    fmt: str,
    token: str,
    timeout: float = 60,
) -> None:
    """Insert `data` (rows of `columns` in ClickHouse's format `fmt`) as one block, once per `token`.

    Sent again with the same token and the same data, nothing is added twice, in the table or in any of its views; what
    a broken try left out is filled. Raises a `nova.errors` class: after `Ambiguous`, send the same again.
    """
    where = settings.CLICKHOUSE
    names = ", ".join(f"`{name}`" for name in columns)
    arguments = {
        "database": where["database"],
        "query": f"INSERT INTO {table} ({names}) FORMAT {fmt}",
        "insert_deduplication_token": token,
        **INSERT_SETTINGS,
    }
    headers = {"X-ClickHouse-User": where["user"]}
    if where["password"]:
        headers["X-ClickHouse-Key"] = where["password"]
    try:
        answer = _http().request(
            "POST",
            f"/?{urlencode(arguments)}",
            body=data,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(timeout, 3), read=timeout),
        )
    except (TimeoutError, urllib3.exceptions.HTTPError, OSError) as error:
        raise Ambiguous(f"ClickHouse did not answer the insert: {error}") from error
    if answer.status != 200 or "X-ClickHouse-Exception-Code" in answer.headers:
        code = answer.headers.get("X-ClickHouse-Exception-Code", "")
        said = answer.data.decode(errors="replace")[:2000]
        if not code.isdigit():
            raise Ambiguous(f"ClickHouse answered {answer.status} without an error code: {said}")
        raise classify(int(code), said)
