"""The one error a person sees: what happened, and what to do about it."""


class StackError(Exception):
    """Something the person at the terminal can put right.

    `message` says what happened in one sentence; `hint` what to do next (may be empty).
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message
