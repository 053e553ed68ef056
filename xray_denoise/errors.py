"""What a user can put right, told in two lines: what went wrong, and what to do next."""


class XrayDenoiseError(Exception):
    """Base of every error meant to be read by a user; `hint` says what to do next."""

    exit_status = 1
    """Exit status of the command line when this error ends the run."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnreadableFileError(XrayDenoiseError):
    """A file is missing, damaged, or holds something that is not a grey radiograph."""


class UnwritableFileError(XrayDenoiseError):
    """A result cannot be written where it was asked for."""


class UsageError(XrayDenoiseError):
    """The options contradict each other or the input."""

    exit_status = 2


class CannotRunError(XrayDenoiseError):
    """Something that the run needs is missing: a device, a package, readable weights."""

    exit_status = 3


class TrainingError(XrayDenoiseError):
    """Training cannot go on, for example because the loss is no longer finite."""

    exit_status = 3
