"""Keys in time order (UUIDv7), the same in Python and in the database."""

from uuid import UUID

from django.db.models import Func, UUIDField
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A UUIDv7 of the present millisecond."""
    return uuid7()


class DatabaseId(Func):
    """`nova_uuid7()`, made by the first migration, so that a row inserted with psql gets its key too."""

    function = "nova_uuid7"
    template = "%(function)s()"
    output_field = UUIDField()
    arity = 0
