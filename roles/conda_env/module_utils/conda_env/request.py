# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of an environment: read from the module's options, judged before anything is touched."""

import hashlib
import json
import os
import platform
import re
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ansible.module_utils.conda_env import CondaEnvError

#: How channels call this machine.
SUBDIR = {"x86_64": "linux-64"}.get(platform.machine(), f"linux-{platform.machine()}")

#: One package of a lock: a URL and the hash of what it must lead to.
LOCKED = re.compile(
    r"(?P<url>\S+/(?P<subdir>[^/]+)/(?P<dist>(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+))\.(?:conda|tar\.bz2))"
    r"#(?:sha256:)?(?P<hash>[0-9a-f]{32}|[0-9a-f]{64})"
)

#: For each list of names: what each must look like, and how that is said.
RULES = {
    "packages": (
        r"(?!.*\.(conda|tar\.bz2)$)[A-Za-z0-9_*]\S*( *[<>=!~,|\[].*)?",
        "a match spec as for `conda install`, such as numpy or 'python>=3.11' (URLs of packages belong into lock)",
    ),
    "channels": (r"[A-Za-z0-9/]\S*", "the name of a channel, such as conda-forge, or its URL"),
    "pip": (
        r"[A-Za-z0-9][^\n]*",
        "one requirement, such as six or 'attrs>=23' (pip's own options belong into a pip.conf)",
    ),
    "imports": (r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", "the name of a Python module, such as dask.distributed"),
}
NAME = r"(?!(base|root)$)[A-Za-z0-9_][\w.+-]*"

#: What an environment.yml may hold. A name and a prefix are the caller's to say.
KEYS = {"name", "prefix", "channels", "dependencies"}


def spec_name(spec):
    """The package's name in a spec.

    >>> [spec_name(text) for text in ("numpy >=1.2", "conda-forge::Six==1.0", "pkg[version='1']")]
    ['numpy', 'six', 'pkg']
    """
    return re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2].strip(), maxsplit=1)[0].lower()


def judge_names(option, values):
    """Refuses names that can't be right, or that a command would take for options.

    Raises:
        CondaEnvError: with the value, the rule and the option.
    """
    pattern, rule = RULES[option]
    for value in values:
        if not re.fullmatch(pattern, value):
            raise CondaEnvError(f"{option} has {value!r}: each must be {rule}.", f"correct it in {option}")


class Lock:
    """An ``@EXPLICIT`` list: which files an environment is made of, to the bit."""

    def __init__(self, entries):
        self.entries = entries

    @classmethod
    def parse(cls, text):
        """Reads and judges the list.

        Raises:
            CondaEnvError: it is none, a line has no hash, or a package is another platform's or named twice.
        """
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if lines[:1] != ["@EXPLICIT"] or len(lines) < 2:
            raise CondaEnvError(
                "lock is no explicit list: its first line must be @EXPLICIT, and packages must follow.",
                "make it with scripts/lock, or `conda list --explicit --md5`",
            )
        entries = {}
        for line in lines[1:]:
            found = LOCKED.fullmatch(line)
            if not found:
                raise CondaEnvError(
                    f"lock has the line {line!r}: each must be the URL of a package, # and its md5 or sha256.",
                    "make it with scripts/lock, or `conda list --explicit --md5`",
                )
            if found["subdir"] not in (SUBDIR, "noarch"):
                raise CondaEnvError(
                    f"lock has {line!r}: this host takes packages of {SUBDIR} and noarch alone.",
                    "use the lock of this platform",
                )
            if found["name"] in entries:
                raise CondaEnvError(f"lock names {found['name']} twice.", "make it anew with scripts/lock")
            entries[found["name"]] = found.groupdict()
        return cls(entries)

    @property
    def text(self):
        """The list as conda takes it."""
        return explicit("{url}#{hash}".format(**entry) for entry in self.entries.values())

    @property
    def lines(self):
        """``name version build`` of each package."""
        return sorted("{name} {version} {build}".format(**entry) for entry in self.entries.values())

    @property
    def pins(self):
        """Specs that only these packages satisfy, for a dry run."""
        return sorted("{name}=={version}={build}".format(**entry) for entry in self.entries.values())

    def lacking(self, records):
        """Names of the packages that are not installed exactly so."""
        installed = {record["name"]: record for record in records}
        return [name for name, entry in self.entries.items() if not self._is(entry, installed.get(name, {}))]

    @staticmethod
    def _is(entry, record):
        kind = "md5" if len(entry["hash"]) == 32 else "sha256"
        same = entry["dist"] == "{}-{}-{}".format(*(record.get(key) for key in ("name", "version", "build")))
        return same and record.get(kind) in (entry["hash"], None)

    def refuse_altered_files(self):
        """Compares packages on local disks with their hashes, which conda does for downloads alone.

        Raises:
            CondaEnvError: one differs.
        """
        for entry in self.entries.values():
            path = url2pathname(urlsplit(entry["url"]).path)
            if not entry["url"].startswith("file://") or not os.path.isfile(path):
                continue
            digest = hashlib.sha256() if len(entry["hash"]) == 64 else hashlib.new("md5", usedforsecurity=False)
            with open(path, "rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
            if digest.hexdigest() != entry["hash"]:
                raise CondaEnvError(
                    "{url} is not what the lock names: its hash is {}, not {hash}.".format(digest.hexdigest(), **entry),
                    "repair that file, or make the lock anew if it is meant to be another one",
                )


def explicit(lines):
    """The text of an ``@EXPLICIT`` list. Conda links, and runs what packages bring along to be run, in its order."""
    return "\n".join([f"# platform: {SUBDIR}", "@EXPLICIT", *lines, ""])


def environment_yml(text):
    """Channels, specs and pip requirements of an ``environment.yml``.

    Raises:
        CondaEnvError: it can't be read, or holds what would be lost.
    """
    try:
        from ruamel.yaml import YAML  # conda brings it; only who has such a file needs it
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise CondaEnvError(
            "environment_yml needs ruamel.yaml, which this Python has not.",
            "run the module with the Python of the conda base (ansible_python_interpreter)",
        ) from None
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise CondaEnvError(f"environment_yml is no YAML: {error}", "correct it") from error
    unknown = sorted(map(str, set(content) - KEYS)) if isinstance(content, dict) else ["no mapping"]
    if unknown:
        raise CondaEnvError(
            "environment_yml has {}: it may hold {}.".format(", ".join(unknown), ", ".join(sorted(KEYS))),
            "take it out",
        )
    specs, pip = [], []
    for entry in content.get("dependencies") or []:
        if isinstance(entry, dict) and set(entry) == {"pip"}:
            pip += map(str, entry["pip"] or [])
        else:
            specs.append(str(entry))
    # Without channels of its own it means those of the condarc; and with some, nothing adds the defaults.
    channels = [str(channel) for channel in content.get("channels") or [] if channel != "nodefaults"]
    return channels, specs, pip


class Request:
    """All that is asked, in one place; nothing of it changes later."""

    def __init__(self, params):
        """Reads the module's options.

        Raises:
            CondaEnvError: one can't be right.
        """
        self.state, self.imports = params["state"], params["imports"]
        channels, specs, pip = environment_yml(params["environment_yml"] or "{}")
        self.channels = unique([*params["channels"], *channels])
        self.packages = unique([*params["packages"], *specs])
        self.pip = unique([*params["pip"], *pip])
        for option in RULES:
            judge_names(option, getattr(self, option))
        if self.pip and "pip" not in map(spec_name, self.packages):
            self.packages.append("pip")
        self.lock = Lock.parse(params["lock"]) if params["lock"] else None
        if self.state != "absent" and not self.packages and not self.lock:
            raise CondaEnvError(
                "packages is empty, and there is no lock nor environment_yml.",
                "name at least one match spec, such as python=3.11",
            )
        self.prefix = self._prefix(params)

    @property
    def digest(self):
        """Stands for the request. Channels are no part of it: they say where packages come from, not which are wanted."""
        lock = sorted(self.lock.text.splitlines()) if self.lock else []
        asked = [sorted(self.packages), sorted(self.pip), sorted(self.imports), lock, self.state]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    @property
    def names(self):
        """The names of all packages that are asked for."""
        return sorted({*map(spec_name, self.packages), *(self.lock.entries if self.lock else [])})

    @staticmethod
    def _prefix(params):
        executable, name = params["conda"], params["name"]
        base = os.path.dirname(os.path.dirname(os.path.realpath(executable)))
        if name is not None and not re.fullmatch(NAME, name):
            raise CondaEnvError(
                f"name is {name!r}: it must be letters, digits and ._+- and not base.", "choose another name"
            )
        path = os.path.normpath(params["prefix"] or os.path.join(base, "envs", name or ""))
        for option, value in (("prefix", path), ("conda", executable)):
            if not os.path.isabs(value):
                raise CondaEnvError(f"{option} is {value!r}: it must be an absolute path.", "write it from / on")
        real = os.path.realpath(path)
        if os.path.commonpath([real, os.path.realpath(executable)]) == real:
            raise CondaEnvError(
                f"prefix is {path!r}: {executable} itself lives in there, and a change could break it.",
                "give the environment a folder of its own, such as {}".format(os.path.join(base, "envs", "myenv")),
            )
        return path


def unique(values):
    """
    >>> unique(["b", "a", "b"])
    ['b', 'a']
    """
    return list(dict.fromkeys(values))
