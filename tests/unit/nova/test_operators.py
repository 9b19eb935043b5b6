"""Who ran a command."""

import os
import pwd

import pytest

from nova import operators


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(number: int) -> None:
        raise KeyError(f"uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert operators.name() == f"user {os.getuid()}"
    monkeypatch.setenv("USER", "ann")
    assert operators.name() == "ann"
