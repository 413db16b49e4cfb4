#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the conda environments of an account."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: conda_env_info
short_description: List an account's conda environments
version_added: "0.1.0"
description:
  - Reads from disk what environments there are and what is in them, without running conda, so that a base that is broken is listed too.
  - Looks where conda does, in the base's C(envs), in C(envs_dirs) of the condarc files and in C(~/.conda/environments.txt), and at
    O(prefixes).
options:
  base:
    description: Folder of the conda base.
    type: path
    required: true
  prefixes:
    description: Further environments, such as one of a group. Those that aren't there are left out.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    description: Nothing is ever changed.
    support: full
  diff_mode:
    support: none
author:
  - The Slipway project
"""

EXAMPLES = r"""
- name: List the environments
  conda_env_info:
    base: /home/ada/local/miniconda3
    prefixes: [/scratch/ocean/envs/shared]
"""

RETURN = r"""
environments:
  description: One entry for each, the base first.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: What C(conda activate) takes; the path where conda finds it by no name., type: str}
    path: {description: Its prefix., type: str}
    python: {description: The version of its Python; empty without one., type: str}
    packages: {description: How many packages conda has installed in it., type: int}
    size: {description: "Megabytes of its files. Earlier revisions count with it, hard links once.", type: int}
    ours: {description: Whether Slipway made it., type: bool}
    owner: {description: The account that owns it., type: str}
  sample: [{name: myenv, path: /home/ada/local/miniconda3/envs/myenv, python: 3.11.2, packages: 192, size: 371, ours: true, owner: ada}]
"""

import os
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.conda_env.revisions import MARK, Revisions, holds_environment, owner_of


def condarc_folders(base):
    """What the condarc files call ``envs_dirs``; a file that can't be read says nothing."""
    try:
        from ruamel.yaml import YAML, YAMLError
    except ImportError:
        return []
    found = []
    for file in (Path.home() / ".condarc", Path(base, ".condarc")):
        try:
            said = YAML(typ="safe", pure=True).load(file)
        except (OSError, YAMLError):
            continue
        folders = said.get("envs_dirs") if isinstance(said, dict) else None
        found += [os.path.expandvars(os.path.expanduser(folder)) for folder in folders or [] if isinstance(folder, str)]
    return found


def registered():
    """What conda has noted down as made by this account."""
    try:
        lines = (Path.home() / ".conda/environments.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]


def megabytes(folder, without=()):
    """What the files take, each once, however many hard links it has."""
    sizes = {}
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if os.path.join(path, name) not in without]
        for name in names:
            with suppress(FileNotFoundError):  # what runs there removes files of its own
                status = os.lstat(os.path.join(path, name))
                sizes[status.st_dev, status.st_ino] = status.st_blocks * 512
    return round(sum(sizes.values()) / 2**20)


class Environments:
    def __init__(self, base, prefixes):
        self.base = base
        self.folders = list(dict.fromkeys([os.path.join(base, "envs"), *condarc_folders(base)]))
        self.prefixes = [base, *self.in_folders(), *prefixes, *registered()]

    def in_folders(self):
        """As conda looks: each folder or link right below."""
        for folder in self.folders:
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            yield from (os.path.join(folder, name) for name in names if not name.startswith("."))

    def list(self):
        """Each environment once, by the first of its paths; a revision is its link's."""
        found = {}
        for prefix in self.prefixes:
            if holds_environment(prefix):
                found.setdefault(os.path.realpath(prefix), prefix)
        return [self.describe(prefix) for prefix in found.values()]

    def describe(self, prefix):
        revisions = Revisions.at(prefix)
        files = [name for name in os.listdir(os.path.join(prefix, "conda-meta")) if name.endswith(".json")]
        packages = dict(name[: -len(".json")].rsplit("-", 2)[:2] for name in files if name.count("-") > 1)
        return {
            "name": self.name(prefix),
            "path": prefix,
            "python": packages.get("python", ""),
            "packages": len(packages),
            # Of the base not the environments and downloads below it.
            "size": megabytes(revisions.folder if revisions.ours else prefix, [f"{prefix}/envs", f"{prefix}/pkgs"]),
            "ours": revisions.ours or (prefix == self.base and os.path.exists(os.path.join(prefix, MARK))),
            "owner": owner_of(prefix),
        }

    def name(self, prefix):
        if prefix == self.base:
            return "base"
        folder, name = os.path.split(prefix)
        return name if folder in self.folders else prefix


def main():
    module = AnsibleModule(
        argument_spec={
            "base": {"type": "path", "required": True},
            "prefixes": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        found = Environments(os.path.normpath(module.params["base"]), module.params["prefixes"]).list()
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; an environment could not be read.")
    module.exit_json(changed=False, environments=found)


if __name__ == "__main__":
    main()
