"""How commands tell their exit codes."""

from argparse import RawDescriptionHelpFormatter
from typing import NoReturn

from django.core.management.base import CommandParser, DjangoHelpFormatter

# A database did not answer, nothing can be said; an argument is wrong, nothing was done.
EXIT_UNKNOWN, EXIT_USAGE = 3, 64


class WithLines(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's, with the lines of the epilog as they are."""


def refuse_by_usage(parser: CommandParser) -> None:
    """End with `EXIT_USAGE` where argparse would with its 2, which a command may have for something else."""

    def refuse(message: str) -> NoReturn:
        parser.exit(EXIT_USAGE, f"{parser.format_usage()}{parser.prog}: error: {message}\n")

    parser.error = refuse  # type: ignore[method-assign]
