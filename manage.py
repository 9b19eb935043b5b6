#!/usr/bin/env python
"""Django's command line for Nova: `manage.py help` lists what it can do."""

import os
import signal
import sys

# Of a command that names no code of its own for it (as sysexits.h has them).
EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nova.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    # Ends a command as an exception would, so that it cleans up; those that run for long have their own way to end.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        execute_from_command_line(sys.argv)
    except (OperationalError, ImproperlyConfigured) as error:
        if "--traceback" in sys.argv:
            raise
        if isinstance(error, ImproperlyConfigured):
            print(error, file=sys.stderr)
            sys.exit(EXIT_CONFIG)
        print(f"PostgreSQL does not answer as it should: {error}", file=sys.stderr)
        sys.exit(EXIT_UNAVAILABLE)


if __name__ == "__main__":
    main()
