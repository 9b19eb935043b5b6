"""The consumers as an operator meets them: what they refuse to start with, and what they tell while they run."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import numpy as np
import pytest
import urllib3

from ingestion import ledger, preflight
from ingestion.errors import EXIT_SETTINGS, Halt
from ingestion.events import EventsSink
from ingestion.ledger import Pending
from ingestion.models import Offset
from nova import clock, redis, topics
from nova.errors import Transient
from tests.apps import ROOT, Apps
from tests.client import wait_until
from tests.integration.batches import lines, messages
from tests.integration.commands import manage, started
from tests.integration.ingest import Crowd, Tail
from tests.integration.test_failures_clickhouse import setting


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("command", "table"), [("run_events_consumer", "post_counters"), ("run_cdc_consumer", "follows_cdc")]
)
def test_a_table_without_its_window_is_refused(command: str, table: str) -> None:
    """Cases 4 and 5: the table, the setting, what was found and what is wanted; the first is a view's target."""
    with setting(table, non_replicated_deduplication_window=7):
        ran = manage(command)
    assert ran.code == EXIT_SETTINGS, ran.said
    assert f"{table}: non_replicated_deduplication_window is 7, wanted at least 10000" in ran.said


@pytest.mark.usefixtures("prepared")
def test_a_redis_that_evicts_is_refused() -> None:
    client = redis.durable()
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        ran = manage("run_events_consumer")
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    assert ran.code == EXIT_SETTINGS, ran.said
    assert "maxmemory-policy is allkeys-lru, wanted noeviction" in ran.said


def typed(word: str, *arguments: str) -> tuple[int, str]:
    """Run `manage.py …` on a terminal and type `word` when it asks; its exit code and what stood there. A consumer that
    starts is ended."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said, asked, ended, deadline = "", False, False, time.monotonic() + 90
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                said += os.read(ours, 4096).decode(errors="replace")
            except OSError:
                # The other end is closed.
                break
            if not asked and "Type 'move'" in said:
                asked = True
                os.write(ours, f"{word}\n".encode())
            if not ended and '"started"' in said:
                ended = True
                running.terminate()
        return running.wait(30), said
    finally:
        running.kill()
        os.close(ours)


def test_a_move_wants_its_word(crowd: Crowd, tail: Tail, stopped) -> None:
    crowd.send_to(0, 50)
    before = sorted(tail.rows())
    code, said = typed("yes", "run_events_consumer", "--from-offset", "events:0:earliest")
    assert (code, "not confirmed, nothing was changed" in said) == (EXIT_SETTINGS, True), said
    assert sorted(tail.rows()) == before
    code, said = typed("move", "run_events_consumer", "--from-offset", "events:0:earliest")
    assert (code, "1 partitions set" in said) == (0, True), said
    assert '"started"' in said
    epochs = {number: epoch for number, *_, epoch in before}
    # Once by the move, and perhaps by the consumer that then started.
    assert {number: epoch for number, *_, epoch in tail.rows()}[0] > epochs[0]


def test_lag_and_offsets_are_told(crowd: Crowd, tail: Tail, apps: Apps) -> None:
    """In /metrics for each partition, and in the log every few seconds."""
    consumer = apps.process("events")
    marker = len(consumer.log.read_text())
    crowd.send(crowd.events(500))
    tail.wait()
    ledger = {str(number): offset for number, offset, *_ in tail.rows()}

    def told(name: str) -> dict[str, float]:
        url = consumer.health.replace("/healthz", "/metrics")
        lines = urllib3.request("GET", url, timeout=20, retries=False).data.decode()
        found = re.findall(
            rf'^nova_consumer_{name}{{consumer="events",partition="(\d+)",topic="events"}} (\S+)', lines, re.M
        )
        return {partition: float(value) for partition, value in found}

    wait_until(lambda: told("offset") == ledger, "the offsets of the ledger in the metrics")
    assert told("lag") == dict.fromkeys(ledger, 0.0)

    def progress() -> list[dict]:
        lines = [line for line in consumer.log.read_text()[marker:].splitlines() if '"progress"' in line]
        return [json.loads(line) for line in lines]

    wait_until(lambda: sum(line["stored"] for line in progress()) >= 500, "the log to tell of them")
    last = progress()[-1]
    assert (last["lag"], last["partitions"], last["redo"]) == (0, len(ledger), 0)


def test_no_group_reads_beside_another(crowd: Crowd, tail: Tail, apps: Apps) -> None:
    """What both insert at the same moment would be counted twice."""
    crowd.send(crowd.events(1))
    tail.wait()
    refused = manage("run_events_consumer", "--group", "followers")
    assert refused.code == EXIT_SETTINGS, refused.said
    assert "of the group events read the events: stop them first, or use --group events" in refused.said


@pytest.mark.django_db
def test_a_group_that_could_not_look_at_its_start_looks_before_its_first_batch(
    crowd: Crowd, tail: Tail, apps: Apps, monkeypatch
) -> None:
    """PostgreSQL is away when it starts; or both groups start at the same moment."""
    crowd.send(crowd.events(1))
    tail.wait()
    # In the ledger of this test, which is not that of the processes.
    ledger.claim("events", topics.EVENTS, uuid4().hex, 0, low=0, high=10)
    sink, batch = EventsSink("followers"), messages(lines(crowd.events(3)))
    with monkeypatch.context() as away:
        away.setattr(preflight, "answering", _no_answer)
        sink.prepare()
        part, _ = ledger.claim("followers", topics.EVENTS, uuid4().hex, 0, low=0, high=10)
        with pytest.raises(Transient):
            sink.flush(part, batch)
    for go_on in (
        lambda: sink.flush(part, batch),
        lambda: sink.redo(part, Pending(0, 2, np.arange(3), "t", clock.now()), batch),
    ):
        with pytest.raises(Halt, match="of the group events read the events") as halt:
            go_on()
        assert halt.value.exit_code == EXIT_SETTINGS
    row = Offset.objects.get(pk=part.row)
    assert (row.next_offset, row.pending_lo) == (0, None)


@contextmanager
def _no_answer() -> Iterator[None]:
    raise Transient("PostgreSQL: no answer")
    yield


@pytest.mark.parametrize(
    "command",
    ["replay_dead_letters --all", "rebuild_views --dry-run", "setup_cdc", "backfill likes", "issue_token x"],
)
def test_commands_say_that_postgresql_is_away(command: str) -> None:
    ran = manage(*command.split(), DATABASE_URL="postgres://x:y@127.0.0.1:1/nova")
    assert (ran.code, "PostgreSQL does not answer" in ran.said, "Traceback" in ran.said) == (69, True, False), ran.said


@pytest.mark.parametrize("arguments", [["--part", "9/3"], ["no_such_table"], ["--patience", "x"]])
def test_a_wrong_argument_is_neither_a_difference_nor_a_repair(arguments: list[str]) -> None:
    assert manage("verify_sync", *arguments).code == 64


@pytest.mark.parametrize("command", ["run_events_consumer", "run_cdc_consumer", "verify_sync"])
def test_each_exit_code_has_its_line(command: str) -> None:
    said = manage(command, "--help").said
    assert re.findall(r"^  (\d+) ", said, re.M)[:3] == ["0", "1", "2"]


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("command", ["run_events_consumer", "run_cdc_consumer"])
def test_sigterm_while_a_start_waits_for_kafka_is_a_clean_end(command: str) -> None:
    process = started(command, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert process.stdout is not None
    said = iter(process.stdout.readline, "")
    assert any('"waiting"' in line for line in said)
    process.terminate()
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
