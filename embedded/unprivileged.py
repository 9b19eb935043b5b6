"""Running PostgreSQL, which refuses root: as whom, and from where that user can reach it.

Nothing here matters unless we are root.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from embedded.errors import StackError
from embedded.process import Account

CANDIDATES = ("postgres", "nobody", "daemon")
STAGING = "staging"
PLACES = (Path("/var/lib"), Path("/opt"), Path("/srv"), Path("/tmp"))


def choose_account(data: Path) -> Account | None:
    """The user to run as: none when we are not root, the owner of existing data, else a system user.

    Raises StackError when this machine has none.
    """
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    if owner:
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        return Account(name, owner, data.stat().st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        f"PostgreSQL does not run as root, and none of the users {', '.join(CANDIDATES)} exists here",
        "Run as another user, or make one: useradd --system postgres",
    )


def can(account: Account, test: str, path: Path) -> bool:
    """Whether the user passes test(1) on `path` (`-x`: may enter or execute); asked of the system, not guessed."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'test {test} "$0"', str(path)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return done.returncode == 0


def staging_folder(var: Path, account: Account) -> Path:
    """A folder outside the clone that the user can enter; made once, then found through the symlink `var/staging`.

    Raises StackError when there is no place for one.
    """
    link = var / STAGING
    if link.is_dir() and link.resolve().stat().st_uid == 0 and can(account, "-x", link.resolve()):
        return link.resolve()
    for place in PLACES:
        try:
            # A new name: what lies there from a clone that was deleted belongs to other data.
            folder = Path(tempfile.mkdtemp(prefix="nova-embedded-", dir=place))
        except OSError:
            continue
        folder.chmod(0o711)
        if can(account, "-x", folder):
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
            return folder
        folder.rmdir()
    raise StackError(
        f"no folder that the user {account.name} can enter, out of {', '.join(map(str, PLACES))}",
        "Run as another user than root, or clone into a folder that everyone may enter.",
    )


def give(path: Path, account: Account) -> None:
    """Make the user the owner of `path` and all below it, and keep everyone else out."""
    shutil.chown(path, account.uid, account.gid)
    path.chmod(0o700)
    for folder, folders, files in os.walk(path):
        for entry in (*folders, *files):
            os.lchown(os.path.join(folder, entry), account.uid, account.gid)
