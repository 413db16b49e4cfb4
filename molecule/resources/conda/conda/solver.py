# SPDX-License-Identifier: GPL-3.0-or-later
"""Solving and linking, by rattler; its errors in conda's words."""

import asyncio
import os
import re
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rattler import (
    ChannelPriority,
    Client,
    Gateway,
    MatchSpec,
    PackageCache,
    PrefixRecord,
    RepoDataRecord,
    SourceConfig,
    VirtualPackage,
    install,
    solve,
)
from rattler.exceptions import GatewayError, InvalidMatchSpecError, SolverError

from .condarc import Config
from .environment import Record, dist_name, pkgs_dirs, subdir
from .exceptions import (
    ChecksumMismatchError,
    CondaError,
    CondaHTTPError,
    CondaValueError,
    PackagesNotFoundError,
    ParseError,
    UnavailableInvalidChannel,
    UnsatisfiableError,
)


def channel_urls(config: Config, names: Iterable[str]) -> list[str]:
    """Channels as URLs, in order."""
    urls: list[str] = []
    for name in names:
        if name == "defaults":
            urls += config["default_channels"]
        elif "://" in name:
            urls.append(name.rstrip("/"))
        elif name.startswith(("/", ".", "~")):
            urls.append(Path(name).expanduser().absolute().as_uri())
        else:
            urls.append(f"{config['channel_alias'].rstrip('/')}/{name}")
    return list(dict.fromkeys(urls))


def match_spec(spec: str) -> MatchSpec:
    """A specification, parsed."""
    try:
        if spec.count("==") > 1:  # rattler would take it
            raise InvalidMatchSpecError(spec)
        return MatchSpec(spec)
    except InvalidMatchSpecError as error:
        raise CondaValueError(f"invalid package specification: {spec}") from error


class Solver:
    """Finds packages in channels and links them."""

    def __init__(self, config: Config, urls: Sequence[str]) -> None:
        self.config, self.urls = config, urls
        self.platforms = [subdir(), "noarch"]
        self.pkgs = next((d for d in pkgs_dirs(config) if _writable(d)), None)
        if self.pkgs is None:
            raise CondaError(f"No writeable pkgs directories configured.\n{pkgs_dirs(config)}")
        self.client = Client.default_client(
            max_retries=int(config["remote_max_retries"]), timeout=round(float(config["remote_read_timeout_secs"])) or 1
        )
        action = "force-cache-only" if config["offline"] else "cache-or-fetch"
        plain = SourceConfig(zstd_enabled=False, bz2_enabled=False, sharded_enabled=False, cache_action=action)
        self.gateway = Gateway(cache_dir=self.pkgs / "cache", default_config=plain, client=self.client)

    def collect(self, specs: Iterable[str]) -> list[RepoDataRecord]:
        """All packages of the channels with the names of these specifications."""
        names = [match_spec(spec).name.normalized for spec in specs]
        with _conda_words():
            answer = _wait(self.gateway.query(self.urls, self.platforms, names, recursive=False))
        return [record for group in answer for record in group]

    def solve(self, specs: Sequence[str], available: Iterable[RepoDataRecord], locked: Iterable[Path]) -> list[Record]:
        """The packages that should be installed for these specifications; `locked`: conda-meta files of what to keep if possible."""
        parsed = [match_spec(spec) for spec in specs]
        installed = [PrefixRecord.from_path(path) for path in locked]
        there = [*available, *installed]
        if missing := [spec for spec, match in zip(specs, parsed, strict=True) if not any(map(match.matches, there))]:
            raise self._not_found(missing)
        priority = ChannelPriority.Strict if self.config["channel_priority"] == "strict" else ChannelPriority.Disabled
        try:
            with _conda_words():
                work = solve(
                    self.urls,
                    parsed,
                    gateway=self.gateway,
                    platforms=self.platforms,
                    locked_packages=installed,
                    virtual_packages=VirtualPackage.detect(),
                    channel_priority=priority,
                    add_pip_as_python_dependency=bool(self.config["add_pip_as_python_dependency"]),
                )
                return [as_record(record) for record in _wait(work)]
        except SolverError as error:
            raise UnsatisfiableError(
                "The following specifications were found to be incompatible with each other:\n\n"
                f"Output in format: Requested package -> Available versions\n\n{error}"
            ) from error

    def explicit(self, lines: Iterable[str]) -> list[Record]:
        """The packages that an @EXPLICIT file names by URL and md5."""
        found = []
        for line in lines:
            url, _, md5 = line.partition("#")
            match = re.fullmatch(
                r"(?P<channel>\w+://.*)/(?P<subdir>[^/]+)/(?P<dist>(?P<name>[^/]+)-[^-/]+-[^-/]+?)\.(conda|tar\.bz2)",
                url,
            )
            if not match:
                raise ParseError(f"Could not parse explicit URL: {url}")
            with _conda_words():
                answer = _wait(
                    self.gateway.query([match["channel"]], [match["subdir"]], [match["name"]], recursive=False)
                )
            record = next((r for group in answer for r in group if r.url == url), None)
            if record is None:
                raise CondaHTTPError("404 FILE NOT FOUND", url)
            if (
                md5 and record.md5 and record.md5.hex() != md5 and not url.startswith("file:")
            ):  # conda does not check files
                raise ChecksumMismatchError(
                    "Conda detected a mismatch between the expected content and downloaded content\n"
                    f"for url '{url}'.\n  download saved to: {self.pkgs}/{match['dist']}.conda\n"
                    f"  expected md5: {md5}\n  actual md5: {record.md5.hex()}\n"
                )
            found.append(as_record(record))
        return found

    def link(self, prefix: Path, solution: Sequence[Record]) -> None:
        """Make the prefix hold exactly these packages."""
        if self.config["offline"] and (
            missing := [r["url"] for r in self.to_fetch(solution) if not r["url"].startswith("file:")]
        ):
            raise CondaError(
                "\n".join(
                    f"EnforceUnusedAdapter called with url {url}\nThis command is using a remote connection in offline mode.\n"
                    for url in missing
                )
            )
        with _conda_words():
            work = install(
                [record["_rattler"] for record in solution],
                target_prefix=prefix,
                package_cache=PackageCache(self.pkgs),
                client=self.client,
                show_progress=False,
            )
            _wait(work)
        (prefix / "CACHEDIR.TAG").unlink(missing_ok=True)  # rattler's; it would exclude environments from backups
        umask = os.umask(0)
        os.umask(umask)
        for file in (prefix / "conda-meta").glob("*.json"):  # rattler writes them for their owner alone
            file.chmod(0o666 & ~umask)

    def to_fetch(self, solution: Iterable[Record]) -> list[Record]:
        """Those that are not in the package cache yet."""
        return [record for record in solution if not (self.pkgs / dist_name(record) / "info").is_dir()]

    def _not_found(self, missing: Sequence[str]) -> PackagesNotFoundError:
        subdirs = [f"{url}/{platform}" for url in self.urls for platform in self.platforms]
        formatted = "\n".join(f"  - {url}" for url in subdirs)
        return PackagesNotFoundError(
            "The following packages are not available from current channels:\n\n"
            + "".join(f"  - {spec}\n" for spec in missing)
            + f"\nCurrent channels:\n\n{formatted}\n\nTo search for alternate channels that may provide the conda package you're\n"
            "looking for, navigate to\n\n    https://anaconda.org\n\nand use the search bar at the top of the page.\n",
            packages=missing,
            channel_urls=subdirs,
            channels_formatted=formatted,
        )


def as_record(record: RepoDataRecord) -> Record:
    """A record of rattler's as conda-meta and the JSON output have it."""
    return {
        "arch": record.arch,
        "build": str(record.build),
        "build_number": record.build_number,
        "channel": record.url.rsplit("/", 1)[0],
        "constrains": record.constrains,
        "depends": record.depends,
        "fn": record.file_name,
        "license": record.license,
        "md5": record.md5.hex() if record.md5 else None,
        "name": record.name.normalized,
        "platform": record.platform,
        "sha256": record.sha256.hex() if record.sha256 else None,
        "size": record.size,
        "subdir": str(record.subdir),
        "url": record.url,
        "version": str(record.version),
        "_rattler": record,
    }


def _wait(work: Awaitable[Any]) -> Any:
    """rattler's functions are coroutines; one command does one thing at a time."""

    async def waiting() -> Any:
        return await work

    return asyncio.run(waiting())


@contextmanager
def _conda_words() -> Iterator[None]:
    """Turn rattler's errors about channels and downloads into conda's."""
    try:
        yield
    except SolverError:
        raise
    except Exception as error:
        text = str(error)
        if match := re.search(r"could not find subdir '.*' in channel '(.*?)/?'", text):
            url = match[1]
            raise UnavailableInvalidChannel(
                f"HTTP 404 UNAVAILABLE OR INVALID for channel {url.rpartition('/')[2]} <{url}>\n\n"
                "The channel is not accessible or is invalid.\n\nYou will need to adjust your conda configuration to proceed.\n"
                "Use `conda config --show channels` to view your configuration's current state,\n"
                "and use `conda config --show-sources` to view config file locations.\n",
                channel_name=url.rpartition("/")[2],
                channel_url=url,
            ) from error
        if match := re.search(r"HTTP status \w+ error \((\d+) (.*?)\) for url \((.*?)\)", text):
            raise CondaHTTPError(f"{match[1]} {match[2].upper()}", match[3]) from error
        if match := re.search(r"error sending request for url \((.*?)\)", text):
            raise CondaHTTPError("000 CONNECTION FAILED", match[1]) from error
        if match := re.search(r"no usable repodata cache for (\S+)", text):
            raise CondaError(
                f"EnforceUnusedAdapter called with url {match[1]}\nThis command is using a remote connection in offline mode.\n"
            ) from error
        if re.search(r"(?i)invalid checksum|hash mismatch|invalid zip", text):
            raise ChecksumMismatchError(
                f"Conda detected a mismatch between the expected content and downloaded content\n{text}"
            ) from error
        if isinstance(error, GatewayError | OSError) or type(error).__module__ == "exceptions":
            raise CondaError(text) from error
        raise


def _writable(folder: Path) -> bool:
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    return os.access(nearest, os.W_OK)
