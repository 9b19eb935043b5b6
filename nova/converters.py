"""Parts of addresses, beside Django's own."""

from uuid import UUID

from django.urls.converters import UUIDConverter


class IdConverter(UUIDConverter):
    """An id as `<id:name>`. Django's `uuid` knows small letters only; who writes capitals means the same id."""

    regex = UUIDConverter.regex.replace("a-f", "a-fA-F")

    def to_python(self, value: str) -> UUID:
        return UUID(value)
