"""What the consumers decide by: the class of an error says what happens next (see also nova/errors.py)."""

from nova.errors import NovaError

# Exit codes of run_events_consumer and run_cdc_consumer.
EXIT_CLEAN = 0
EXIT_UNEXPECTED = 1
EXIT_SETTINGS = 2
EXIT_DATA_LOSS = 3
EXIT_DEAD_LETTERS = 4
EXIT_FENCED = 5


class InvalidMessage(NovaError):
    """A message that can never be stored: it becomes a dead letter.

    reason: a short code, like those in `contract.REASONS`; field: what is wrong, "" for the message as a whole;
    detail: a sentence.
    """

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}" if field else detail)
        self.reason, self.field, self.detail = reason, field, detail


class Fenced(NovaError):
    """Another process has claimed this partition since: give it up, write nothing more for it."""


class Halt(NovaError):
    """Going on would lose or spoil data: end the process with `exit_code` and say why."""

    def __init__(self, text: str, exit_code: int = EXIT_UNEXPECTED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
