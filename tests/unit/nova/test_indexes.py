"""Indexes of large tables are made and dropped while members write, and for as long as that takes: what is sent. What
comes of it: tests/api/test_list_indexes.py."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.migrations.loader import MigrationLoader

from nova import indexes, postgres

LONG = 86_400.0
Statement = tuple[str, float]


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Statement]]:
    """statements(backwards=…) → what the migration of lists sends, each with the seconds that it is waited for."""
    sent: list[Statement] = []

    def named(self: Any, model: Any, columns: Any = None, **kinds: Any) -> list[str]:
        return [f"{model._meta.db_table}_{columns[0]}_{'key' if kinds.get('foreign_key') else 'own'}"]

    monkeypatch.setattr(DatabaseSchemaEditor, "_constraint_names", named)
    monkeypatch.setattr(
        DatabaseSchemaEditor,
        "execute",
        lambda self, sql, *_, **__: sent.append((str(sql), postgres._patience.get() or 0.0)),
    )

    def run(*, backwards: bool = False) -> list[Statement]:
        monkeypatch.setattr(indexes, "_is_valid", lambda *_: None)
        loader = MigrationLoader(None)
        migration = loader.get_migration("community", "0004_lists_in_order")
        state = loader.project_state([("community", "0003_posts_by_time")])
        with connection.schema_editor(atomic=False) as editor:
            (migration.unapply if backwards else migration.apply)(state, editor)
        return [(sql, patience) for sql, patience in sent if "statement_timeout" not in sql]

    return run


def test_no_statement_keeps_members_from_writing(statements: Callable[..., list[Statement]]) -> None:
    """A foreign key that is made again looks at every row, and nobody writes to either table meanwhile."""
    sent = [sql for sql, _ in statements()]
    assert len(sent) == 9
    assert all(" INDEX CONCURRENTLY " in sql for sql in sent), sent


def test_each_is_waited_for_however_long_it_takes(statements: Callable[..., list[Statement]]) -> None:
    assert [sql for sql, patience in statements() if patience < LONG] == []


def test_it_can_be_taken_back(statements: Callable[..., list[Statement]]) -> None:
    sent = statements(backwards=True)
    assert all(" INDEX CONCURRENTLY " in sql and patience >= LONG for sql, patience in sent), sent
    assert sum("CREATE" in sql for sql, _ in sent) == 4
