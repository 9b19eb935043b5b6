"""How commands tell their exit codes."""

from argparse import RawDescriptionHelpFormatter

from django.core.management.base import DjangoHelpFormatter


class WithLines(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's, with the lines of the epilog as they are."""
