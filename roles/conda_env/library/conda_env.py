#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a conda environment equal to what is asked of it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: conda_env
short_description: Conda environments by their packages
version_added: "0.1.0"
description:
  - Makes a conda environment that satisfies match specs, or mends one that doesn't.
  - Decides from what is installed, by the records in C(conda-meta) and conda's own comparison of specs with records. The solver
    runs only where a wanted package, or one that a wanted package depends on, is missing or does not fit.
  - What an environment was found to satisfy is kept in C(.slipway.json) there, under a digest of the whole content of all its records.
    While that digest and the request are the same, no question needs to be asked again. Any package that comes, goes or
    changes, by whomever, changes the digest.
  - A creation that was killed is detected by its mark and made anew. A change that was killed is mended, packages with missing
    files included. A folder that is neither an environment nor a creation of this module's is refused.
  - An environment that somebody else made (it has no such file) is adopted as it is if it satisfies O(packages), and else refused.
  - An existing environment is never handed to C(conda create), which would wipe it. A failed solve leaves it as it was.
options:
  prefix:
    description: Folder of the environment, absolute.
    type: path
    required: true
  conda:
    description: The C(conda) or C(mamba) command, absolute, in the conda base that it belongs to.
    type: path
    required: true
  packages:
    description:
      - Match specs as C(conda install) takes them, such as V(numpy), V(python=3.11) or V(conda-forge::dask>=2024).
      - Packages beside these and their dependencies are left alone.
      - Where something is missing, conda is given the whole list, and may move each of them within its spec, as C(conda install)
        does. Pin what must stay.
    type: list
    elements: str
    required: true
  channels:
    description:
      - Channels to take packages from, the highest first, in place of the configured ones. Empty means those of C(.condarc).
      - Other channels alone don't change an environment whose packages satisfy O(packages).
    type: list
    elements: str
    default: []
  imports:
    description:
      - Python modules to import with the environment's Python once it has changed, so that a broken binary fails here.
      - If one fails, the environment stays, and the import is tried again on the next run.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds for the whole call, waiting for another run on the same O(prefix) included.
    type: int
    default: 1800
attributes:
  check_mode:
    description:
      - Where something would change, the solver runs with C(--dry-run), so the result has the packages that would come and go.
      - Where conda is not there yet, or a killed creation would be made anew, it has the wanted specs in their place.
    support: full
  diff_mode:
    description: One line a package, C(name version build).
    support: full
notes:
  - Runs as the environment's owner, on the host that has O(conda), with Python 3.9 or newer.
  - Conda's settings belong into a C(.condarc). Variables such as E(CONDA_PREFIX) or E(PYTHONPATH) of the shell that the run comes
    from are not passed on.
  - O(prefix) is locked against another run by the file C(.NAME.slipway-lock) beside it.
author:
  - The Slipway project
"""

EXAMPLES = r"""
- name: Have an environment for notebooks
  conda_env:
    prefix: /home/ada/local/miniconda3/envs/myenv
    conda: /home/ada/local/miniconda3/bin/conda
    packages: [python=3.11, jupyterlab, dask]
    imports: [jupyterlab, dask.distributed]

- name: Take packages from the site's mirror alone
  conda_env:
    prefix: /scratch/ocean/ada/analysis
    conda: /home/ada/local/miniconda3/bin/mamba
    packages: ["numpy>=2", xarray]
    channels: [http://mirror/conda-forge]
    timeout: 3600
"""

RETURN = r"""
before:
  description: The packages that were installed, C(name version build).
  type: list
  elements: str
  returned: success
  sample: [numpy 1.24.2 py311_0, python 3.11.2 0_cpython]
after:
  description: The packages that are installed now, or would be.
  type: list
  elements: str
  returned: success
added:
  description: Lines of RV(after) that are not in RV(before).
  type: list
  elements: str
  returned: success
removed:
  description: Lines of RV(before) that are not in RV(after).
  type: list
  elements: str
  returned: success
command:
  description: The command that changed the environment, or failed to; empty where none was run.
  type: list
  elements: str
  returned: always
rc:
  description: The exit code of RV(command).
  type: int
  returned: failure of a command
stdout:
  description: What it wrote; conda's whole JSON answer.
  type: str
  returned: failure of a command
stderr:
  description: What it wrote as warnings and errors.
  type: str
  returned: failure of a command
"""

import contextlib
import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.conda import Conda, planned
from ansible.module_utils.conda_env.prefix import ABSENT, ENVIRONMENT, FOREIGN, HALF_MADE, Prefix, Records


class CondaEnv:
    """One environment, and what is asked of it."""

    def __init__(self, module):
        self.module = module
        self.packages = module.params["packages"]
        self.imports = module.params["imports"]
        self.deadline = time.monotonic() + module.params["timeout"]
        path = os.path.normpath(module.params["prefix"])
        # A link as the prefix itself can't be renamed for what it leads to. Links above it stay, as their owner calls them.
        self.prefix = Prefix(os.path.realpath(path) if os.path.islink(path) else path)
        self.conda = Conda(module.params["conda"], module.params["channels"], self.deadline)
        # Verified once, a request needs no question while the records are the same. Channels are no part of it: they say where
        # packages come from, not which are wanted.
        request = json.dumps([sorted(self.packages), sorted(self.imports)])
        self.request = hashlib.sha256(request.encode()).hexdigest()
        self.missing = {}  # by the records' digest, since under the lock they are mostly what they were before it

    def run(self):
        """Reads the state, acts if it must, and returns the module's result."""
        self.refuse_unfit()
        before = self.installed()
        if self.prefix.verified(self.request, before):
            return self.result(before, before.lines, changed=False)
        if self.module.check_mode:
            return self.plan(before)
        if not self.conda.there:
            raise CondaEnvError(
                f"{self.conda.executable} is not there, or has no base with a Python around it.",
                "install conda first (role miniconda), or correct the path",
            )
        # Where nothing is to change nothing is locked: the environment may be another's, shared and read-only.
        if self.prefix.kind == ENVIRONMENT and not self.prefix.unfinished and not self.lacks(before)[0]:
            return self.accept(before, before)
        return self.present()

    def refuse_unfit(self):
        """Stops before anything is touched if what is asked can't be right."""
        path, executable = self.prefix.path, self.conda.executable
        for name, value in (("prefix", path), ("conda", executable)):
            if not os.path.isabs(value):
                raise CondaEnvError(f"{name} is {value!r}: it must be an absolute path.")
        if os.path.commonpath([os.path.realpath(path), os.path.realpath(executable)]) == os.path.realpath(path):
            raise CondaEnvError(
                f"prefix is {path!r}: {executable} itself lives in there, and a change could break it.",
                "give the environment a folder of its own, such as {}".format(
                    os.path.join(self.conda.root, "envs", "myenv")
                ),
            )
        if self.prefix.kind == FOREIGN:
            raise CondaEnvError(
                f"prefix is {path!r}: something else is there, no conda environment. It was left alone.",
                "move it away if it is not needed, or choose another prefix",
            )
        for name in ("packages", "channels", "imports"):
            strange = [value for value in self.module.params[name] if not value or value.startswith("-")]
            if strange:
                raise CondaEnvError(f"{name} has {strange[0]!r}: none may be empty or look like an option.")
        if not self.packages:
            raise CondaEnvError("packages is empty: it needs at least one match spec, such as python=3.11.")

    def installed(self):
        """The records; a creation that was killed half-way counts as nothing."""
        return Records() if self.kind == HALF_MADE else self.prefix.records()

    @property
    def kind(self):
        """What is there. A creation that was killed when all had come is an environment, and its owner may have used it since."""
        kind = self.prefix.kind
        if kind != HALF_MADE or not self.prefix.has_history or not self.conda.there:
            return kind
        records = self.prefix.records()
        try:
            records.parsed()
        except CondaEnvError:  # a record that was cut short
            return HALF_MADE
        return HALF_MADE if self.lacks(records)[0] else ENVIRONMENT

    def lacks(self, records):
        """What conda must be told to install: what the wanted packages lack, and what a killed change left without some of its files.

        Returns:
            Specs; the names of the packages that a killed change took; and the file names of those records of theirs still there.

        Raises:
            CondaEnvError: something is lacking in an environment that this module did not make.
        """
        mark = self.prefix.mark
        damaged = self.prefix.damaged(records) if self.prefix.unfinished else []
        contents = records.parsed()
        intact = [content for name, content in contents.items() if name not in damaged]
        if records.digest not in self.missing or damaged:
            self.missing[records.digest] = self.conda.missing(self.packages, intact)
        again = {*mark.get("again", []), *(contents[name]["name"] for name in damaged)}
        again = sorted(again - {content["name"] for content in intact})
        specs = self.missing[records.digest] + again
        if specs and not mark:
            raise CondaEnvError(
                "The environment {} was made by somebody else and lacks {}. It was left alone.".format(
                    self.prefix.path, ", ".join(specs)
                ),
                "set target_env_name to another name, or install that there yourself",
            )
        return specs, again, damaged

    def present(self):
        """Satisfies the packages, under the lock."""
        with self.prefix.locked(self.deadline, self.module.warn) as lock:
            self.prefix.sweep()
            before = self.installed()  # once more: a run that had the lock may have changed it
            after = self.mend(before, lock) if self.kind == ENVIRONMENT else self.create(lock)
            return self.accept(before, after, keep=[lock])

    def accept(self, before, after, keep=()):
        """Tries the imports, and keeps what was found for the next run."""
        self.conda.try_imports(self.prefix.path, self.imports, keep)
        if self.prefix.ours:
            self.prefix.put_verified(self.request, after)
        return self.result(before, after.lines, changed=bool(self.conda.command))

    def create(self, lock):
        """Makes the environment, in place of a killed creation if there is one. Returns its records."""
        if self.prefix.kind == HALF_MADE:
            self.prefix.remove()
        self.prefix.begin()
        try:
            self.conda.change("create", self.prefix.path, self.packages, keep=[lock])
            return self.proven()
        except CondaEnvError:
            # What can't be removed still has its mark, and is removed by the next run.
            with contextlib.suppress(OSError):
                self.prefix.remove()
            raise

    def mend(self, before, lock):
        """Installs into the environment what it lacks. Returns its records."""
        specs, again, damaged = self.lacks(before)
        if not specs:
            return before
        earlier = self.prefix.mark
        # With its record forgotten, nothing but the mark knows of a package that nobody but its user asked for.
        self.prefix.put_mark(state="changing", again=again)
        self.prefix.forget(damaged)
        try:
            self.conda.change("install", self.prefix.path, self.request_for(specs), keep=[lock])
        except CondaEnvError as error:
            # A conda that was killed (128 and more: as its wrapper says it) may have taken files and left their records.
            if 0 < error.details.get("rc", 1) < 128 and self.prefix.records().digest == before.digest:
                self.prefix.put_mark(**earlier)
            raise
        return self.proven()

    def request_for(self, specs):
        """What conda is told: all that is wanted, so that it gives up nothing of it for what is missing."""
        return self.packages + [spec for spec in specs if spec not in self.packages]

    def proven(self):
        """The records after a change that conda called a success. Its exit code alone is no proof."""
        records = self.prefix.records()
        missing = self.conda.missing(self.packages, list(records.parsed().values()))
        if missing:
            raise CondaEnvError(
                "conda reported success, but {} lacks {}.".format(self.prefix.path, ", ".join(missing)),
                "run the command by hand on this host and look at what it prints",
                command=self.conda.command,
            )
        self.prefix.put_mark(state="complete")
        return records

    def plan(self, before):
        """What would be done, without doing it."""
        kind = self.kind
        if not self.conda.there or kind == HALF_MADE:
            return self.result(before, sorted(self.packages), changed=True)
        if kind == ABSENT:
            said = self.conda.change("create", self.prefix.path, self.packages, dry_run=True)
        else:
            specs = self.lacks(before)[0]
            if not specs:
                return self.result(before, before.lines, changed=False)
            said = self.conda.change("install", self.prefix.path, self.request_for(specs), dry_run=True)
        return self.result(before, planned(before.lines, said), changed=True)

    def result(self, records, after, changed):
        """What the module returns, of the records before and the package lines after."""
        before = records.lines
        result = {
            "changed": changed,
            "before": before,
            "after": after,
            "added": [line for line in after if line not in before],
            "removed": [line for line in before if line not in after],
            "command": self.conda.command,
        }
        if self.module._diff:
            texts = {"before": before, "after": after}
            result["diff"] = {name: "".join(line + "\n" for line in lines) for name, lines in texts.items()}
            result["diff"].update(before_header=self.prefix.path, after_header=self.prefix.path)
        return result


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "conda": {"type": "path", "required": True},
            "packages": {"type": "list", "elements": "str", "required": True},
            "channels": {"type": "list", "elements": "str", "default": []},
            "imports": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        environment = CondaEnv(module)
        result = environment.run()
    except CondaEnvError as error:
        module.fail_json(msg=str(error), **{"command": [], **error.details})
    except OSError as error:
        module.fail_json(msg=f"{environment.prefix.path}: {error}.", command=environment.conda.command)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
