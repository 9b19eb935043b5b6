"""Indexes of large tables in migrations, made and dropped beside the running community, however long that takes.

For migrations that are not atomic. Whatever ended a try, the next one goes on behind it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.migrations import AlterField
from django.db.models import Index

from nova import postgres

_A_WEEK = 7 * 86_400.0
_IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


class MakeIndex(AddIndexConcurrently):
    """Make an index. One that a try has left half made is dropped before, one that is there already stays."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        with _however_long(schema_editor):
            is_valid = _is_valid(schema_editor, self.index.name)
            if is_valid is False:
                self._drop(schema_editor)
            if not is_valid:
                super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        with _however_long(schema_editor):
            self._drop(schema_editor)

    def _drop(self, schema_editor: Any) -> None:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}")


class DropOwnIndex(AlterField):
    """Give a foreign key `db_index=False`, which changes nothing else of it.

    Django's own way makes the key anew: every row is looked at, and meanwhile nobody can write to either table.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        with _however_long(schema_editor):
            for name in _own(schema_editor, model, self.name):
                schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        field = model._meta.get_field(self.name)
        with _however_long(schema_editor):
            for name in _own(schema_editor, model, self.name):
                if _is_valid(schema_editor, name):
                    return
                schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}")
            schema_editor.execute(schema_editor._create_index_sql(model, fields=[field], concurrently=True))


@contextmanager
def _however_long(schema_editor: Any) -> Iterator[None]:
    schema_editor.execute("SET statement_timeout = 0")
    # By itself a connection is given up soon after the time that statements have as a rule.
    with postgres.within(_A_WEEK):
        yield
    schema_editor.execute("RESET statement_timeout")


def _own(schema_editor: Any, model: Any, name: str) -> list[str]:
    """The indexes that Django made for a field alone."""
    column = model._meta.get_field(name).column
    named = {index.name for index in model._meta.indexes}
    found: list[str] = schema_editor._constraint_names(model, [column], index=True, type_=Index.suffix, exclude=named)
    return found


def _is_valid(schema_editor: Any, name: str) -> bool | None:
    """Whether an index was made to its end; None when there is none."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_IS_VALID, [schema_editor.quote_name(name)])
        row = cursor.fetchone()
    return bool(row[0]) if row else None
