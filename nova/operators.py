"""Who runs a command, for what is noted of it."""

import getpass
import os


def name() -> str:
    """The user's name; the number of one that has none, as in a container that runs as any."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
