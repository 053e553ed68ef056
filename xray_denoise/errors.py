"""Errors that a user can fix: what is wrong, which file it is about, and what to do next."""

from os import PathLike, fspath

PATH = "{path}"
"""Where a message names the file that it is about."""


AGAIN = "fetch the file again from its source"
"""What to do about a file that is damaged."""


class XrayDenoiseError(Exception):
    """Base class of the errors that a user can fix.

    Args:
        message: what is wrong. `{path}` in it stands for `path`.
        hint: what to do next; tracebacks print it below the message.
        path: the file or folder that the message is about.
        option: the parameter of the Python functions that decides, such as "existing"; the command line adds the name
            of its own option to the hint.
    """

    exit_status = 1
    """Exit status of the command line when this error ends the run."""
    kind = "error"
    """Short name of the class for logs."""

    def __init__(
        self, message: str, *, hint: str = "", path: str | PathLike[str] | None = None, option: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = path
        self.option = option
        if hint:
            self.add_note(f"hint: {hint}")  # tracebacks print it

    def __str__(self) -> str:
        return self.message if self.path is None else self.message.replace(PATH, fspath(self.path))

    @property
    def anonymous(self) -> str:
        """The message without the name of the file, which may tell who a patient is."""
        return self.message.replace(PATH, "the file")


class UnreadableFileError(XrayDenoiseError):
    """A file is missing, damaged, or does not hold a grey radiograph."""

    kind = "unreadable-file"


class UnwritableFileError(XrayDenoiseError):
    """A result cannot be written."""

    kind = "unwritable-file"


class ExistingFileError(UnwritableFileError):
    """A result would replace a file, and replacing was not allowed."""

    kind = "existing-file"


class UsageError(XrayDenoiseError):
    """An argument is wrong, or two arguments contradict each other or the input."""

    exit_status = 2
    kind = "usage"


class CannotRunError(XrayDenoiseError):
    """A device, a package or readable weights are missing."""

    exit_status = 3
    kind = "cannot-run"


class TrainingError(XrayDenoiseError):
    """Training cannot continue, for example because the loss is not finite."""

    exit_status = 3
    kind = "training"
