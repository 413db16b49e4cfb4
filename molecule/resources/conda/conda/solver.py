# SPDX-License-Identifier: GPL-3.0-or-later
"""Solving and linking, by rattler; its errors in conda's words."""

import asyncio
import os
import re
import sys
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
    Version,
    VirtualPackage,
    install,
    solve,
)
from rattler.exceptions import GatewayError, InvalidMatchSpecError, SolverError

from . import MODERN, __version__
from .condarc import Config, check
from .environment import Record, channel_url, dist_name, pkgs_dirs, records, subdir
from .exceptions import (
    ChecksumMismatchError,
    CondaError,
    CondaHTTPError,
    CondaValueError,
    InvalidMatchSpec,
    OfflineError,
    ParseError,
    RattlerUnsatisfiableError,
    UnavailableInvalidChannel,
    UnsatisfiableError,
    not_in_channels,
)

EXPLICIT_URL = re.compile(
    r"(?P<channel>\w+://.*)/(?P<subdir>[^/]+)/(?P<dist>(?P<name>[^/]+)-[^-/]+-[^-/]+?)\.(conda|tar\.bz2)"
    # conda takes sha256 since 24.9 (https://github.com/conda/conda/pull/14048)
    r"(#((?P<md5>[0-9a-f]{32})" + (r"|(sha256:)?(?P<sha256>[0-9a-f]{64})" if MODERN else "|(?P<sha256>(?!))") + "))?"
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
        if MODERN:
            version = spec.partition("==")[2]
            raise InvalidMatchSpec(
                f"Invalid spec {spec!r}: Invalid version {version!r}: invalid character(s)"
            ) from error
        raise CondaValueError(f"invalid package specification: {spec}") from error


class Solver:
    """Finds packages in channels and links them."""

    def __init__(self, config: Config, urls: Sequence[str]) -> None:
        check(config)
        self.config, self.urls = config, urls
        self.platforms = [subdir(), "noarch"]
        self.pkgs = next((d for d in pkgs_dirs(config) if _writable(d)), None)
        if self.pkgs is None:
            raise CondaError(f"No writeable pkgs directories configured.\n{pkgs_dirs(config)}")
        os.environ.update({f"{scheme}_proxy": url for scheme, url in config["proxy_servers"].items()})
        self.client = Client.default_client(
            max_retries=int(config["remote_max_retries"]), timeout=round(float(config["remote_read_timeout_secs"])) or 1
        )
        action = "force-cache-only" if config["offline"] else "cache-or-fetch"
        plain = SourceConfig(zstd_enabled=False, bz2_enabled=False, sharded_enabled=False, cache_action=action)
        self.gateway = Gateway(cache_dir=self.pkgs / "cache", default_config=plain, client=self.client)

    @staticmethod
    def check(specs: Iterable[str]) -> None:
        """Refuse specifications that cannot be read."""
        for spec in specs:
            match_spec(spec)

    def collect(self, specs: Iterable[str]) -> list[RepoDataRecord]:
        """All packages of the channels with the names of these specifications."""
        names = [match_spec(spec).name.normalized for spec in specs]
        with _conda_words():
            answer = _wait(self.gateway.query(self.urls, self.platforms, names, recursive=False))
        return [record for group in answer for record in group]

    def solve(
        self, specs: Sequence[str], available: Iterable[RepoDataRecord], locked: Iterable[Path], *, frozen: bool = False
    ) -> list[Record]:
        """
        The packages that should be installed for these specifications.

        `locked`: conda-meta files of what to keep if possible, or, if `frozen`, in any case.
        """
        parsed = [match_spec(spec) for spec in specs]
        installed = [PrefixRecord.from_path(path) for path in locked]
        there = [*available, *installed]
        if missing := [spec for spec, match in zip(specs, parsed, strict=True) if not any(map(match.matches, there))]:
            raise not_in_channels(missing, self.urls, self.platforms)
        priority = ChannelPriority.Strict if self.config["channel_priority"] == "strict" else ChannelPriority.Disabled
        try:
            with _conda_words():
                work = solve(
                    self.urls,
                    parsed,
                    gateway=self.gateway,
                    platforms=self.platforms,
                    locked_packages=installed,
                    pinned_packages=installed if frozen else None,
                    virtual_packages=VirtualPackage.detect(),
                    channel_priority=priority,
                    add_pip_as_python_dependency=bool(self.config["add_pip_as_python_dependency"]),
                )
                return [as_record(record) for record in _wait(work)]
        except SolverError as error:
            if MODERN:
                raise RattlerUnsatisfiableError(str(error), allow_retry=False) from error
            raise UnsatisfiableError(
                "The following specifications were found to be incompatible with each other:\n\n"
                f"Output in format: Requested package -> Available versions\n\n{error}"
            ) from error

    @staticmethod
    def check_explicit(lines: Iterable[str]) -> None:
        """Refuse lines that are no URLs of packages, or have digests of a kind that this conda does not know."""
        for line in lines:
            if not EXPLICIT_URL.fullmatch(line):
                where = line if "://" in line else f"{Path.cwd().as_uri()}/{line}"
                raise ParseError(f"Could not parse explicit URL: {where}")

    def explicit(self, lines: Iterable[str]) -> list[Record]:
        """The packages that an @EXPLICIT file names by URL and digest."""
        found = []
        for line in lines:
            match = EXPLICIT_URL.fullmatch(line)
            url = line.partition("#")[0]
            with _conda_words():
                answer = _wait(
                    self.gateway.query([match["channel"]], [match["subdir"]], [match["name"]], recursive=False)
                )
            record = next((r for group in answer for r in group if r.url == url), None)
            if record is None:
                raise CondaHTTPError("404 File not found" if MODERN else "404 FILE NOT FOUND", url)
            for kind, got in (("md5", record.md5), ("sha256", record.sha256)):
                expected = match[kind]
                if expected and got and got.hex() != expected and not url.startswith("file:"):  # conda checks no files
                    target = f"{self.pkgs}/{url.rpartition('/')[2]}"
                    raise ChecksumMismatchError(
                        "Conda detected a mismatch between the expected content and downloaded content\n"
                        f"for url '{url}'.\n  download saved to: {target}\n"
                        f"  expected {kind}: {expected}\n  actual {kind}: {got.hex()}\n",
                        actual_checksum=got.hex(),
                        checksum_type=kind,
                        expected_checksum=expected,
                        target_full_path=target,
                        url=url,
                    )
            found.append(as_record(record))
        return found

    def link(self, prefix: Path, solution: Sequence[Record], anew: Iterable[str] = ()) -> None:
        """Make the prefix hold exactly these packages; those named `anew` are linked even if they are there."""
        if self.config["offline"]:
            for record in self.to_fetch(solution):
                if not record["url"].startswith("file:"):
                    raise OfflineError(record["url"])
        with _conda_words():
            work = install(
                [record["_rattler"] for record in solution],
                target_prefix=prefix,
                reinstall_packages=set(anew) & {record["name"] for record in records(prefix)},
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

    def newer_conda(self) -> tuple[str, str] | None:
        """Channel and version of a newer conda, where this one came from and if older conda would say so."""
        if MODERN or self.config["offline"] or not self.config["notify_outdated_conda"]:
            return None
        own = next((channel_url(r).rpartition("/")[2] for r in records(Path(sys.prefix)) if r["name"] == "conda"), "")
        urls = [url for url in self.urls if url.rpartition("/")[2] == own]
        with _conda_words():
            answer = _wait(self.gateway.query(urls, self.platforms, ["conda"], recursive=False))
        newest = max((record.version for group in answer for record in group), default=None)
        return (urls[0], str(newest)) if newest and newest > Version(__version__) else None


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
        **({"noarch": "python", "package_type": "noarch_python"} if record.noarch.python else {}),
        "sha256": record.sha256.hex() if record.sha256 else None,
        "size": record.size,
        "subdir": str(record.subdir),
        "timestamp": round(record.timestamp.timestamp() * 1000) if record.timestamp else None,
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
            raise UnavailableInvalidChannel(match[1]) from error
        if match := re.search(r"HTTP status \w+ error \((\d+) (.*?)\) for url \((.*?)\)", text):
            raise CondaHTTPError(f"{match[1]} {match[2].upper()}", match[3]) from error
        if match := re.search(r"error sending request for url \((.*?)\)", text):
            source = "repodata.json" if MODERN else "current_repodata.json"  # the first that conda asks for
            url = re.sub(r"/[^/]+/repodata\.json.*", f"/{subdir()}/{source}", match[1])
            raise CondaHTTPError("000 CONNECTION FAILED", url) from error
        if match := re.search(r"no usable repodata cache for (\S+)", text):
            raise OfflineError(match[1]) from error
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
