"""The errors that a user can meet, each with a code, a message and what to do next."""


class ChmflError(Exception):
    """An expected failure of a run.

    :param code: short name in snake_case, stable, for scripts and for the troubleshooting page.
    :param message: what is wrong, with the names and numbers that show it.
    :param hint: what the user can do next.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = ""):
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadInput(ChmflError):
    """An image, a folder or an option that cannot be used as it is."""

    exit_code = 2


class Canceled(ChmflError):
    """The user stopped the run."""

    exit_code = 3

    def __init__(self, message: str = "Canceled.", hint: str = "Nothing was written."):
        super().__init__("canceled", message, hint)


class OutOfMemory(ChmflError):
    """The computer or its GPU has too little free memory."""

    exit_code = 4


class MissingDependency(ChmflError):
    """A Python package that this step needs is not installed."""

    exit_code = 5


class MissingModel(ChmflError):
    """The model bundle is absent or cannot be trusted."""

    exit_code = 5
