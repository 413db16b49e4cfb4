# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed in an environment, read from its folder without asking a command."""

import ast
import contextlib
import csv
import glob
import hashlib
import json
import os
import re
import stat

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.request import explicit, spec_name

#: What describes a Python package; not what a killed pip leaves of one, such as ~umpy-1.2.dist-info.
INFO = r"[A-Za-z0-9][^-]*-.+\.(dist|egg)-info"


class Records:
    """The records in conda-meta, and what pip has put beside them."""

    def __init__(self, prefix, texts=None, infos=()):
        self.prefix = prefix
        self.texts = texts or {}
        self.infos = list(infos)
        self._contents = self._pip = None

    @classmethod
    def read(cls, prefix):
        """Reads the environment at a path; an empty path has nothing."""
        texts = {}
        for path in sorted(glob.glob(os.path.join(glob.escape(prefix), "conda-meta", "*.json"))) if prefix else []:
            with open(path, "rb") as file:
                texts[os.path.basename(path)] = file.read()
        return cls(prefix, texts, info_folders(prefix) if prefix else ())

    @property
    def digest(self):
        """Stands for all that the records say, and for the packages of pip's."""
        parts = [name.encode() + b"\0" + hashlib.sha256(text).digest() for name, text in self.texts.items()]
        parts += [info.encode() + b"\0" for info in self.infos]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    @property
    def contents(self):
        """The records by file name, without those that say nothing; see `corrupted`."""
        if self._contents is None:
            self._contents = {name: record for name, text in self.texts.items() if (record := parsed(text))}
        return self._contents

    @property
    def healthy(self):
        """The records that can be read."""
        return list(self.contents.values())

    @property
    def corrupted(self):
        """Specs of the packages whose records can't be read: by its file name a record says at least which version it was of."""
        names = (name[: -len(".json")].rsplit("-", 2) for name in self.texts if name not in self.contents)
        return ["{}=={}".format(*parts) if len(parts) == 3 else parts[0] for parts in names]

    @property
    def lines(self):
        """``name version build`` of each package."""
        installed = [" ".join(name[: -len(".json")].rsplit("-", 2)) for name in self.texts]
        return sorted(installed + [dist.line for dist in self.pip])

    @property
    def files(self):
        """The files that belong to packages of conda's."""
        return {file for record in self.healthy for file in record.get("files", [])}

    @property
    def owned(self):
        """The files that belong to any package."""
        return self.files.union(*(dist.files for dist in self.pip))

    @property
    def pip(self):
        """The packages that pip has installed."""
        if self._pip is None:
            owned = {os.path.dirname(file) for file in self.files} | self.files if self.infos else set()
            # A package of conda's whose record is lost says so itself.
            strange = [
                info for info in self.infos if info not in owned and read(self.prefix, info, "INSTALLER") != "conda"
            ]
            self._pip = [Dist.read(self.prefix, info) for info in strange]
        return self._pip

    @property
    def requested(self):
        """The packages that somebody asked conda for, by its history."""
        return requested(read(self.prefix, "conda-meta", "history"))

    def lock(self, names=None):
        """An ``@EXPLICIT`` list of what is installed, or of the named packages alone.

        Raises:
            CondaEnvError: a package can't be had again by what its record says.
        """
        return explicit(source(record) for record in in_order(self.healthy) if names is None or record["name"] in names)

    def copied(self, names):
        """The packages among those of the given records that still are as these say, or are gone altogether."""
        there = {record["name"] for record in self.healthy}
        packages = {name: name[: -len(".json")].rsplit("-", 2)[0] for name in names}
        return {package for name, package in packages.items() if name in self.texts or package not in there}

    @property
    def lost(self):
        """Packages of conda's of which a file is gone. What pip has replaced, and what Python compiles, doesn't count."""
        folders = {}

        def there(file):
            folder, name = os.path.split(file)
            if folder not in folders:  # to list each once takes less time than to ask for each file
                path = os.path.join(self.prefix, folder)
                folders[folder] = set(os.listdir(path)) if os.path.isdir(path) else set()
            return name in folders[folder] or name.endswith(".pyc")

        of_pip = {dist.name for dist in self.pip}
        records = (record for record in self.healthy if canonical(record["name"]) not in of_pip)
        return sorted(record["name"] for record in records if not all(map(there, record.get("files", []))))

    def let_others_read(self):
        """Lets other accounts read the records: some versions write them for their owner alone."""
        for name in self.texts:
            path = os.path.join(self.prefix, "conda-meta", name)
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o444)


class Dist:
    """A package of pip's: its name and version, whether somebody asked for it, and how it can be had again."""

    def __init__(self, name, version, requested, requirement, files):
        self.name, self.version, self.requested = name, version, requested
        self.requirement, self.files = requirement, files

    @classmethod
    def read(cls, prefix, info):
        """Reads an info folder."""
        name, version = re.sub(r"(-py\d[\d.]*)?\.(dist|egg)-info$", "", os.path.basename(info)).rsplit("-", 1)
        name, requirement = canonical(name), f"{canonical(name)}=={version}"
        with contextlib.suppress(ValueError, KeyError):  # without this file it came from an index, as nearly all do
            requirement = direct(name, json.loads(read(prefix, info, "direct_url.json")))
        rows = csv.reader(read(prefix, info, "RECORD").splitlines())
        files = {os.path.normpath(os.path.join(os.path.dirname(info), row[0])) for row in rows if row}
        return cls(name, version, os.path.exists(os.path.join(prefix, info, "REQUESTED")), requirement, files)

    @property
    def line(self):
        """As conda lists it."""
        return f"{self.name} {self.version} pypi_0"


def in_order(records):
    """The records, each behind those that it depends on, as conda links them."""
    named = {record["name"]: record for record in sorted(records, key=lambda record: record["name"])}
    seen, ordered = set(), []

    def visit(name):
        if name in seen or name not in named:
            return
        seen.add(name)
        for needs in named[name].get("depends", []):
            if (name, spec_name(needs)) != ("python", "pip"):  # which need each other, and pip's files need a Python
                visit(spec_name(needs))
        ordered.append(named[name])

    for name in named:
        visit(name)
    return ordered


def canonical(name):
    """A Python package's name as pip compares it.

    >>> canonical("Zope.Interface_X")
    'zope-interface-x'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(name, origin):
    """The requirement for what was not installed from an index (PEP 610).

    >>> direct("x", {"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "1a2b"}})
    'x @ git+https://h/x.git@1a2b'
    >>> direct("x", {"url": "file:///home/ada/x", "dir_info": {"editable": True}})
    '-e file:///home/ada/x'
    """
    url, vcs = origin["url"], origin.get("vcs_info")
    if origin.get("dir_info", {}).get("editable"):
        return f"-e {url}"
    return f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else f"{name} @ {url}"


def read(*path):
    """The text of a file that need not be there."""
    try:
        with open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def info_folders(prefix):
    """The names of what describes Python packages, relative to the environment."""
    found = []
    for site in glob.glob(os.path.join(glob.escape(prefix), "lib", "python3.*", "site-packages")):
        names = (name for name in os.listdir(site) if re.fullmatch(INFO, name))
        found += [os.path.join(os.path.relpath(site, prefix), name) for name in names]
    return sorted(found)


def parsed(text):
    """The content of a record, or nothing if it is none of a package."""
    try:
        record = json.loads(text.decode())
        return record if all(isinstance(record[key], str) for key in ("name", "version", "build")) else None
    except (ValueError, KeyError, TypeError):
        return None


def source(record):
    """Where a package came from, and its hash, as an explicit list has it."""
    if not record.get("url"):
        raise CondaEnvError(
            "The record of {name} {version} does not say where the package came from, so it can't be kept.".format(
                **record
            ),
            f"install it again from a channel, or remove it: conda remove {record['name']}",
        )
    mark = record.get("md5") or record.get("sha256")
    return "{}#{}".format(record["url"], mark) if mark else record["url"]


def requested(history):
    """The names of the packages that were asked for, in the order of the history.

    >>> requested("# update specs: ['six', 'numpy=2']\\n# remove specs: ['six']\\n")
    ['numpy']
    """
    names = {}
    for action, specs in re.findall(r"^# *(\w+) +specs: *(\[.*\])$", history, re.MULTILINE):
        with contextlib.suppress(ValueError, SyntaxError):  # a line that was cut short
            found = dict.fromkeys(map(spec_name, ast.literal_eval(specs)))
            names = {name: None for name in names if name not in found}
            names.update({} if action == "remove" else found)
    return list(names)
