"""Errors that are decisions: the caller reads from the class what to do next.

`Transient` and its kin: nothing happened, wait and try again unchanged. `Ambiguous`: it may have happened, reconnect
and resend the same thing under the same token. Anything else is a bug or a wrong setting and ends the process.
"""


class NovaError(Exception):
    """An error whose text may be shown to an operator."""


class Transient(NovaError):
    """Nothing was done; the same call can succeed later."""


class Ambiguous(Transient):
    """The reply was lost: it may have been done. Only a call that is safe to repeat may be repeated."""


class Overloaded(Transient):
    """The other side asks for less work (too many parts, memory): wait longer before the same call."""


class Permanent(NovaError):
    """The same call can never succeed: wrong statement, wrong data, wrong schema."""
