# SPDX-License-Identifier: GPL-3.0-or-later
"""conda's errors: their names, words and exit codes are what callers see."""

from typing import Any


class CondaError(Exception):
    """An error that is told in a sentence; `details` are further keys of its JSON form."""

    return_code = 1
    during_transaction = False  # then the JSON form is a list of errors

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details

    def as_json(self) -> dict[str, Any]:
        """The object that --json prints."""
        name = type(self).__name__
        error = {
            "caused_by": "None",
            "error": f"{name}: {self}",
            "exception_name": name,
            "exception_type": f"<class 'conda.exceptions.{name}'>",
            "message": str(self),
            **self.details,
        }
        return {"error": "Multiple Errors Encountered.", "errors": [error]} if self.during_transaction else error


class ArgumentError(CondaError):
    """A wrong combination of options."""

    return_code = 2


class CondaEnvironmentError(CondaError):
    """This cannot be done to this environment."""


class CondaFileIOError(CondaError):
    """A file cannot be read."""


class CondaKeyError(CondaError):
    """A condarc key or value that is not there."""


class CondaSystemExit(CondaError):
    """The person said no (or could not be asked)."""

    return_code = 0


class CondaValueError(CondaError):
    """A value that makes no sense."""


class CustomValidationError(CondaError):
    """A configuration parameter out of its range."""


class DryRunExit(CondaError):
    """The end of --dry-run."""

    return_code = 0


class ParseError(CondaError):
    """A file that is not what it should be."""


class UnsatisfiableError(CondaError):
    """No set of packages meets all specifications."""


class EnvironmentLocationNotFound(CondaError):
    """There is no environment at this path."""

    def __init__(self, location: Any) -> None:
        super().__init__(f"Not a conda environment: {location}", location=str(location))


class EnvironmentNameNotFound(CondaError):
    """There is no environment of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Could not find conda environment: {name}\nYou can list all discoverable environments with `conda info --envs`.\n"
        )


class EnvironmentNotWritableError(CondaError):
    """The environment is someone else's."""

    during_transaction = True


class PackageNotInstalledError(CondaError):
    """`update` of something that is not there."""

    def __init__(self, prefix: Any, name: str) -> None:
        super().__init__(f"Package is not installed in prefix.\n  prefix: {prefix}\n  package name: {name}\n")


class PackagesNotFoundError(CondaError):
    """The channels, or the environment, do not have a package."""


class UnavailableInvalidChannel(CondaError):
    """There is no channel at this URL."""


class CondaHTTPError(CondaError):
    """A request failed."""

    def __init__(self, status: str, url: str) -> None:
        super().__init__(
            f"HTTP {status} for url <{url}>\nElapsed: -\n\nAn HTTP error occurred when trying to retrieve this URL.\n"
            "HTTP errors are often intermittent, and a simple retry will get you on your way.\n",
            url=url,
        )


class ChecksumMismatchError(CondaError):
    """A package is not the one that was announced."""

    during_transaction = True
