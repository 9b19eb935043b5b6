"""Sessions in PostgreSQL, for cookies that anybody may have written."""

from typing import Any

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's, which asks PostgreSQL for any key that a cookie holds. No text there may have a NUL: it would fail."""

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and "\0" not in key and bool(super()._validate_session_key(key))  # type: ignore[misc]
