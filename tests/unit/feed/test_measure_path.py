"""`measure_path` says what is wrong where there is nothing to be measured."""

from uuid import uuid4

import pytest
from django.core.management import CommandError

from feed.management.commands.measure_path import _Api


def test_nobody_answers() -> None:
    with pytest.raises(CommandError, match="does not answer"):
        _Api("http://127.0.0.1:1").call("GET", "/api/feed", uuid4())


def test_tokens_are_another_issuers(settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SECRET = "RS256", ""
    with pytest.raises(CommandError, match="signed by another issuer"):
        _Api("http://127.0.0.1:1")
