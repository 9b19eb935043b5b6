"""Which folder may hold a stack's data: `down --wipe` empties it."""

import pytest

from embedded import cli, paths
from embedded.errors import StackError


@pytest.mark.parametrize("value", [".", "..", "/", str(paths.ROOT), "var/.."])
def test_the_clone_and_what_it_lies_in_hold_no_data(monkeypatch, value):
    monkeypatch.setenv("NOVA_VAR", value)
    with pytest.raises(StackError, match="where this clone lies"):
        paths.default_var()


@pytest.mark.parametrize(("value", "folder"), [("", "var"), ("var-mine", "var-mine"), ("var/t", "var/t")])
def test_a_folder_of_its_own_does(monkeypatch, value, folder):
    monkeypatch.setenv("NOVA_VAR", value)
    assert paths.default_var() == (paths.ROOT / folder).resolve()


@pytest.mark.parametrize("command", ["up", "up --foreground", "demo", "status", "down", "run -- x"])
def test_a_data_folder_that_is_a_file_is_said_in_words(tmp_path, monkeypatch, capsys, command):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("NOVA_VAR", str(tmp_path / "file"))
    assert cli.main(command.split()) == 1
    assert "NOVA_VAR=var-mine" in capsys.readouterr().err
