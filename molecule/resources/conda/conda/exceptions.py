# SPDX-License-Identifier: GPL-3.0-or-later
"""conda's errors: their names, words and exit codes are what callers see."""

from collections.abc import Sequence
from typing import Any

from . import MODERN


class CondaError(Exception):
    """An error that is told in a sentence; `details` are further keys of its JSON form."""

    return_code = 1
    during_transaction = False  # then the JSON form is a list of errors
    module = "conda.exceptions"

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
            "exception_type": f"<class '{self.module}.{name}'>",
            "message": str(self),
            **self.details,
        }
        if not self.during_transaction:
            return error
        several = {"exception_name": "CondaMultiError", "exception_type": "<class 'conda.CondaMultiError'>"}
        return {"error": "Multiple Errors Encountered.", "errors": [error], **several}


class ArgumentError(CondaError):
    """A wrong combination of options."""

    return_code = 2


class CondaEnvironmentError(CondaError):
    """This cannot be done to this environment."""


class CondaEnvException(CondaError):
    """The pip part of an environment.yml failed."""


class CondaFileIOError(CondaError):
    """A file cannot be read."""


class CondaKeyError(CondaError):
    """A condarc key or value that is not there."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message, key=key, msg=message)


class CondaSystemExit(CondaError):
    """The person said no (or could not be asked)."""

    return_code = 0


class CondaValueError(CondaError):
    """A value that makes no sense."""


class CustomValidationError(CondaError):
    """A configuration parameter out of its range."""

    module = "conda.common.configuration"


class DryRunExit(CondaError):
    """The end of --dry-run."""

    return_code = 0


class ParseError(CondaError):
    """A file that is not what it should be."""


class UnsatisfiableError(CondaError):
    """No set of packages meets all specifications."""


class RattlerUnsatisfiableError(UnsatisfiableError):
    """The same, from the solver of newer conda."""

    module = "conda_rattler_solver.exceptions"


class CorruptedEnvironmentError(CondaError):
    """A record in conda-meta that is no JSON."""

    def __init__(self, prefix: Any, file: Any) -> None:
        super().__init__(
            "The target environment has been corrupted. Corrupted environments most commonly\n"
            "occur when the conda process is force-terminated while in an unlink-link\ntransaction.\n"
            f"  environment location: {prefix}\n  corrupted file: {file}\n",
            corrupted_file=str(file),
            environment_location=str(prefix),
        )


class EnvironmentFileNotFound(CondaError):
    """There is no such environment.yml (or, in newer conda, no such list of specifications)."""

    def __init__(self, filename: Any) -> None:
        super().__init__(f"'{filename}' file not found", filename=str(filename))


class InvalidMatchSpec(CondaError):
    """A specification that newer conda cannot read."""


class OfflineError(CondaError):
    """Something would have to be downloaded, and must not; older conda shows its RuntimeError."""

    def __init__(self, url: str) -> None:
        words = (
            f"EnforceUnusedAdapter called with url {url}\nThis command is using a remote connection in offline mode.\n"
        )
        super().__init__(words if MODERN else f"RuntimeError({words!r})")


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

    during_transaction = not MODERN  # newer conda looks before it solves


class PackageNotInstalledError(CondaError):
    """`update` of something that is not there."""

    def __init__(self, prefix: Any, name: str) -> None:
        words = f"Package is not installed in prefix.\n  prefix: {prefix}\n  package name: {name}\n"
        super().__init__(words, package_name=name, prefix=str(prefix))


class PackagesNotFoundError(CondaError):
    """The channels, or the environment, do not have a package."""


class PackagesNotFoundInChannelsError(PackagesNotFoundError):
    """Newer conda's name for one half of it."""


class PackagesNotFoundInPrefixError(PackagesNotFoundError):
    """And for the other."""


class ResolvePackageNotFound(PackagesNotFoundError):
    """What `env create` says of older conda."""


def not_in_prefix(prefix: Any, missing: Sequence[str]) -> PackagesNotFoundError:
    """The error of `remove`."""
    words = "The following packages are missing from the target environment:\n"
    listed = "".join(f"  - {name}\n" for name in missing)
    formatted = {"packages_formatted": "\n".join(f"  - {name}" for name in missing)}
    if not MODERN:
        return PackagesNotFoundError(
            words + listed, packages=missing, channel_urls=[], channels_formatted=[], **formatted
        )
    return PackagesNotFoundInPrefixError(
        f"{words}  prefix: {prefix}\n\n{listed}", package_name=missing, prefix=str(prefix), **formatted
    )


def not_in_channels(missing: Sequence[str], urls: Sequence[str], platforms: Sequence[str]) -> PackagesNotFoundError:
    """The error of everything that solves."""
    places = urls if MODERN else [f"{url}/{platform}" for url in urls for platform in platforms]
    formatted = "\n".join(f"  - {place}" for place in places)
    packages = "".join(f"  - {spec}\n" for spec in missing)
    kind = PackagesNotFoundInChannelsError if MODERN else PackagesNotFoundError
    return kind(
        f"The following packages are not available from current channels:\n\n{packages}\nCurrent channels:\n\n{formatted}\n\n"
        "To search for alternate channels that may provide the conda package you're\nlooking for, navigate to\n\n"
        "    https://anaconda.org\n\nand use the search bar at the top of the page.\n",
        packages=missing,
        packages_formatted=packages.rstrip("\n"),
        channel_urls=[_channel(url) for url in urls] if MODERN else places,
        channels_formatted=formatted,
    )


def _channel(url: str) -> dict[str, Any]:
    """A channel as newer conda writes it in JSON."""
    scheme, _, rest = url.partition("://")
    location, _, name = rest.rpartition("/")
    nothing = dict.fromkeys(("auth", "package_filename", "platform", "token"))
    return {**nothing, "location": location, "name": name, "scheme": scheme}


class UnavailableInvalidChannel(CondaError):
    """There is no channel at this URL."""

    def __init__(self, url: str) -> None:
        name, path = url.rpartition("/")[2], url.removeprefix("file://")
        words = (
            f"HTTP 404 UNAVAILABLE OR INVALID for channel {name} <{url}>\n\nThe channel is not accessible or is invalid.\n\n"
            "You will need to adjust your conda configuration to proceed.\n"
            "Use `conda config --show channels` to view your configuration's current state,\n"
            "and use `conda config --show-sources` to view config file locations.\n"
        )
        if path != url and MODERN:
            words += "\nAs of conda 4.3, a valid channel must contain a\n`noarch/repodata.json` even if `noarch/repodata.json` is\n"
            words += f"empty. Use `conda index {path}`, or create `noarch/repodata.json`\n"
        elif path != url:
            words += "\nAs of conda 4.3, a valid channel must contain a `noarch/repodata.json` and\n"
            words += "associated `noarch/repodata.json.bz2` file, even if `noarch/repodata.json` is\n"
            words += f"empty. Use `conda index {path}`, or create `noarch/repodata.json`\nand associated `noarch/repodata.json.bz2`.\n"
        missing = {"error": "file does not exist", "exception": "FileNotFoundError(2, 'No such file or directory')"}
        found = {**missing, "path": f"{path}/noarch/repodata.json"} if path != url else {}
        answer = {"json": found, "reason": "UNAVAILABLE OR INVALID", "response_details": "", "status_code": 404}
        super().__init__(words, channel_name=name, channel_url=url, **answer)


class CondaHTTPError(CondaError):
    """A request failed."""

    def __init__(self, status: str, url: str) -> None:
        super().__init__(
            f"HTTP {status} for url <{url}>\nElapsed: -\n\nAn HTTP error occurred when trying to retrieve this URL.\n"
            "HTTP errors are often intermittent, and a simple retry will get you on your way.\n",
            elapsed_time="-",
            json={},
            reason=status.partition(" ")[2],
            response_details="",
            status_code=status.partition(" ")[0],
            url=url,
        )


class ChecksumMismatchError(CondaError):
    """A package is not the one that was announced."""

    during_transaction = True
