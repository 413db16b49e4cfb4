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
  - Makes a conda environment that has the packages that are asked for, from a solver or from a lock, and pip's on top; mends one that lacks
    some; removes one.
  - Each change is made in a new folder beside, and becomes the environment by one rename once its imports work. A failed solve, a killed
    transaction or a full disk leave the environment as it was, and what runs on it goes on.
  - Decides from what is installed, by the records in C(conda-meta) and conda's own comparison of specs with records. The solver runs only
    where a wanted package, or one that a wanted package depends on, is missing or does not fit; with a lock not even then.
  - What an environment was found to satisfy is kept in C(.slipway.json) there, under a digest of all its records. While that digest and
    the request are the same, and no file of conda's packages is gone, no command is run. Any package that comes, goes or changes, by
    whomever, changes the digest.
  - An environment that somebody else made is adopted if it has what is asked for, and never changed. Where it lacks something, one
    of this module's is made beside it, with C(-slipway) behind its name.
extends_documentation_fragment: lsf_job
options:
  prefix:
    description:
      - Path of the environment, absolute. It becomes a link to the folder that is current, C(.NAME.slipway/N) beside it.
      - Exactly one of O(prefix) and O(name) is required.
    type: path
  name:
    description: Name of the environment, in the folder C(envs) of the base that O(conda) belongs to.
    type: str
  conda:
    description: The C(conda) or C(mamba) command, absolute, in the conda base that it belongs to.
    type: path
    required: true
  state:
    description:
      - V(present) has what is asked for; other packages in the environment stay.
      - V(exact) has that, what it depends on, and nothing else.
      - V(absent) removes the environment with all that belongs to it, if it was made by this module.
    type: str
    choices: [present, exact, absent]
    default: present
  packages:
    description:
      - Match specs as C(conda install) takes them, such as V(numpy), V(python=3.11) or V(conda-forge::dask>=2024).
      - Where something is missing, conda is given the whole list, and may move each of them within its spec, as C(conda install)
        does. Pin what must stay.
      - With a O(lock) they go on top of it, and none of the lock's packages moves for them.
    type: list
    elements: str
    default: []
  channels:
    description:
      - Channels to take packages from, the highest first, in place of the configured ones. Empty means those of C(.condarc).
      - Other channels alone don't change an environment that satisfies what is asked for.
    type: list
    elements: str
    default: []
  environment_yml:
    description:
      - Text of an C(environment.yml). Its C(dependencies), pip's among them, and C(channels) are added to O(packages), O(pip) and
        O(channels); its C(name) and C(prefix) are not used.
    type: str
  lock:
    description:
      - Text of an explicit list, C(@EXPLICIT) and lines of URL, C(#) and md5 or sha256, as RV(lock) returns it. No solver runs for it.
      - Conda checks the hashes of what it downloads, and this module those of C(file://) URLs. For sha256 conda 24.9 or newer is needed.
      - Packages that the environment's user has added go on top of another lock, by the solver.
    type: str
  pip:
    description:
      - Requirements for pip, installed after conda's packages, which pip must leave as they are. C(pip) itself is added to O(packages).
      - When conda must change an environment with packages of pip's, they are installed anew on top of the changed one.
      - From where, is a matter of the account's C(pip.conf).
    type: list
    elements: str
    default: []
  imports:
    description:
      - Python modules to import with the environment's Python before it comes into use, so that a broken binary fails here.
      - Where one fails in the environment that is in use, all its packages are put anew.
    type: list
    elements: str
    default: []
  offline:
    description: Use no network, only the package cache and C(file://) channels.
    type: bool
    default: false
  timeout:
    description: Seconds for the whole call, waiting for another run on the same environment included.
    type: int
    default: 1800
  job:
    description:
      - Run what takes long, the commands that fill a new folder, as a batch job of LSF and not on this host.
      - The job of a run that was killed is found again, and its work taken over.
attributes:
  check_mode:
    description:
      - Where something would change, the solver and pip run with C(--dry-run), so the result has the packages that would come and go. A
        lock needs no solver for that.
      - Where conda is not there yet, or records are corrupted, specs stand for packages that nobody can know.
    support: full
  diff_mode:
    description: One line a package, C(name version build), with C(pypi_0) as the build of pip's.
    support: full
notes:
  - Runs as the environment's owner, on the host that has O(conda), with Python 3.9 or newer; with O(environment_yml) that of the base.
  - The folder before is kept, and older ones until seven days after they were replaced, for what still runs on them, and to go back to
    by the link. What was started by a path through the link,
    such as C(envs/NAME/bin/python), looks for its modules through the link and so in the new folder; kernels, and the commands in
    C(envs/NAME/bin) that are scripts, have the folder's own path in them and are not affected.
  - Files that users add below C(etc), C(share/jupyter/kernels) and C(share/jupyter/lab/settings), and conda's C(pinned) and C(state), go
    along into a new folder. Others that belong to no package stay in the earlier one, which is then kept; a warning names them.
  - Conda's settings belong into a C(.condarc). Variables such as E(CONDA_PREFIX) or E(PYTHONPATH) of the shell that the run comes
    from are not passed on.
  - Others can read and run the environment as far as they can reach its folder; to them a request like its owner's is satisfied, too.
author:
  - The Slipway project
"""

EXAMPLES = r"""
- name: Have an environment for notebooks
  conda_env:
    name: myenv
    conda: /home/ada/local/miniconda3/bin/conda
    packages: [python=3.11, jupyterlab, dask]
    imports: [jupyterlab, dask.distributed]

- name: Take packages from the site's mirror alone, and one from PyPI
  conda_env:
    prefix: /scratch/ocean/ada/analysis
    conda: /home/ada/local/miniconda3/bin/mamba
    packages: ["numpy>=2", xarray]
    pip: [xgcm]
    channels: [http://mirror/conda-forge]
    timeout: 3600

- name: Give a group the very same files, and nothing beside them
  conda_env:
    prefix: /projects/ocean/envs/ocean
    conda: /projects/ocean/miniconda3/bin/conda
    lock: "{{ lookup('ansible.builtin.file', 'locks/ocean-linux-ppc64le.txt') }}"
    state: exact
    imports: [numpy, xarray]

- name: Follow the project's own file
  conda_env:
    name: thesis
    conda: /home/ada/local/miniconda3/bin/conda
    environment_yml: "{{ lookup('ansible.builtin.file', 'thesis/environment.yml') }}"

- name: Remove an environment
  conda_env:
    name: thesis
    conda: /home/ada/local/miniconda3/bin/conda
    state: absent
"""

RETURN = r"""
prefix:
  description: Where the environment is. It is the one asked for, or that beside it where somebody else's lacks something.
  type: str
  returned: success
  sample: /home/ada/local/miniconda3/envs/myenv
revision:
  description: The real folder behind RV(prefix); empty where there is none (yet).
  type: str
  returned: success
  sample: /home/ada/local/miniconda3/envs/.myenv.slipway/2
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
  description: The last command that filled a new folder, or failed to; empty where none was run.
  type: list
  elements: str
  returned: always
lock:
  description:
    - An explicit list with hashes of the packages that are installed, for O(lock). Empty where a record has no source.
    - As all that is returned, it has no credentials. Those for a channel belong into C(.condarc) or C(.netrc).
  type: str
  returned: success
rebuilt:
  description: Whether pip's packages were installed anew because conda had to change the environment, or would be.
  type: bool
  returned: success
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

import os
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.build import Build
from ansible.module_utils.conda_env.conda import Conda, advice
from ansible.module_utils.conda_env.pip import Pip
from ansible.module_utils.conda_env.records import Records
from ansible.module_utils.conda_env.request import Request
from ansible.module_utils.conda_env.revisions import Revisions, owner_of
from ansible.module_utils.conda_env.verdict import Verdict, judge
from ansible.module_utils.lsf.command_job import OPTIONS


class CondaEnv:
    """One environment, and what is asked of it."""

    def __init__(self, module):
        self.module = module
        self.request = Request(module.params)
        self.deadline = time.monotonic() + module.params["timeout"]
        self.conda = Conda(module.params["conda"], self.request.channels, self.deadline, module.params["offline"])
        self.pips = {}
        self.beside = Revisions(f"{self.request.prefix}-slipway")
        self.place = self.find_place()

    @property
    def prefix(self):
        """Where the environment is for people: not the place that a link of theirs may lead to."""
        return self.beside.prefix if self.place is self.beside else self.request.prefix

    @property
    def command(self):
        """The last command that was to change something."""
        commands = [pip.command for pip in self.pips.values() if pip.command]
        return (commands or [self.conda.command])[-1]

    def pip_at(self, path):
        """The pip of the environment at a path."""
        offline = self.module.params["offline"]
        return self.pips.setdefault(path, Pip(path, self.deadline, offline, self.conda.job))

    def find_place(self):
        """Where the environment is: at the prefix, or beside it where an earlier run has put it."""
        asked = Revisions.at(self.request.prefix)
        if asked.obstructed and self.request.state != "absent":
            raise CondaEnvError(
                f"prefix is {self.request.prefix!r}: something else is there, no conda environment. It was left alone.",
                "move it away if it is not needed, or choose another prefix",
            )
        return asked if asked.ours or not self.beside.ours else self.beside

    def run(self):
        """Reads the state, acts if it must, and returns the module's result."""
        if self.request.state == "absent":
            return self.absent()
        before = Records.read(self.place.environment)
        if self.verified(before):
            return self.result(before, before.lines)
        if not self.conda.there:
            if self.module.check_mode:
                return self.plan(before, Verdict(lacking=self.request.packages, pip_lacking=self.request.pip))
            raise CondaEnvError(
                f"{self.conda.executable} is not there, or has no base with a Python around it.",
                "install conda first (role miniconda), or correct the path",
            )
        # Where nothing is to change nothing is locked: the environment may be another's, shared and read-only.
        verdict = self.judge(before)
        if verdict.fits:
            return self.accept(before)
        if before.prefix and not self.place.ours:
            before, verdict = self.go_beside(verdict)
        return self.plan(before, verdict) if self.module.check_mode else self.present(before, verdict)

    def verified(self, records):
        """Whether exactly these records were found to satisfy exactly this request before, and no file is gone since."""
        mark = self.place.mark()
        same = (mark.get("request"), mark.get("records")) == (self.request.digest, records.digest)
        return same and not self.lost(records)

    def lost(self, records):
        """Packages of an environment of ours of which a file is gone, as where a scratch file system is purged."""
        mark = self.place.mark()
        return [name for name in records.lost if name not in mark.get("lost", [])] if "lost" in mark else []

    def judge(self, records):
        """Compares what is installed with what is asked, the imports included."""
        if not records.prefix:
            return Verdict(
                lacking=self.request.packages,
                unlocked=list(self.request.lock.entries) if self.request.lock else [],
                pip_lacking=self.request.pip,
            )
        copied = self.place.mark().get("copied", [])
        verdict = judge(self.request, records, self.conda, self.pip_at(records.prefix), copied)
        verdict.lost = self.lost(records)
        if verdict.fits:
            try:
                self.conda.try_imports(records.prefix, self.request.imports)
            except CondaEnvError as error:
                verdict.broken = str(error).splitlines()[0]
        return verdict

    def go_beside(self, verdict):
        """Leaves somebody else's environment alone. Returns the records and the verdict on what is beside it."""
        theirs = self.place.prefix
        self.place = self.beside
        if self.place.obstructed or self.place.environment:
            raise CondaEnvError(
                f"The environment {theirs} was made by somebody else, and so was {self.prefix}. They were left alone.",
                "set target_env_name to another name, or move one of them away",
            )
        self.module.warn(
            "The environment {} was made by somebody else, and this is not as asked: {}. It is left alone; Slipway's is {}.".format(
                theirs, ", ".join([*verdict.missing, *verdict.surplus, *verdict.pip_surplus]), self.prefix
            )
        )
        before = Records("")
        return before, self.judge(before)

    def present(self, seen, verdict):
        """Makes what is asked for, under the lock."""
        with self.place.locked(self.deadline, self.module.warn) as lock:
            before = Records.read(self.place.environment)
            if (before.prefix, before.digest) != (seen.prefix, seen.digest):  # a run that had the lock has changed it
                verdict = Verdict() if self.verified(before) else self.judge(before)
            if verdict.fits:
                return self.accept(before)
            begun = self.take_up_job(before)
            self.place.sweep(begun)
            build = Build(self.request, self.place, before, verdict, self.conda, self.pip_at)
            after = build.run(begun or self.place.begin(), keep=[lock])
            self.place.sweep()
        if verdict.lost:
            self.module.warn("Files of {} were gone, so all packages were put anew.".format(", ".join(verdict.lost)))
        if build.stranded:
            self.module.warn(
                "Files in {} belong to no package and did not go along: {}. Take what you need; it is kept until the environment is "
                "removed.".format(
                    before.prefix, ", ".join([*build.stranded[:10], *(["..."] * (len(build.stranded) > 10))])
                )
            )
        if build.rebuilds:
            self.module.warn(
                "Conda had to change {}, so pip's packages were installed anew on top: {}.".format(
                    self.prefix, ", ".join(build.rebuilds)
                )
            )
        return self.result(before, after.lines, changed=True, rebuilt=bool(build.rebuilds), lock=after)

    def take_up_job(self, before):
        """Has what follows run as a job, if that is asked. Returns the folder that the job of a killed run has begun to fill so.

        A job of a killed run that does anything else is ended: it must not write into what is taken away.
        """
        job = self.module.params["job"]
        if not job and not self.place.has_job:
            return ""
        from ansible.module_utils.conda_env.job import left_behind  # it needs an LSF

        depends_on = "-".join([self.request.digest, before.digest, *self.request.channels]) if job else ""
        options = {**(job or dict.fromkeys(OPTIONS, "")), "folder": self.place.folder, "request": depends_on}
        self.conda.job = options if job else None
        return left_behind(options)

    def accept(self, records):
        """Keeps for the next run that nothing is to be done."""
        if self.place.ours and not self.module.check_mode:
            self.place.remember(state="verified", request=self.request.digest, records=records.digest)
        return self.result(records, records.lines)

    def plan(self, before, verdict):
        """What would be done, without doing it."""
        build = Build(self.request, self.place, before, verdict, self.conda, self.pip_at)
        return self.result(before, build.plan(), changed=True, rebuilt=bool(build.rebuilds))

    def absent(self):
        """Takes the environment away, with what a removal that was killed has left of it."""
        before = Records.read(self.place.environment if self.place.ours else "")
        if not self.place.ours and os.path.lexists(self.place.prefix):
            self.module.warn(f"{self.place.prefix} was not made by Slipway, so it stays.")
        there = self.place.ours or os.path.isdir(self.place.folder)
        if there and os.stat(self.place.folder).st_uid != os.geteuid():
            self.module.warn(f"{self.place.prefix} is {owner_of(self.place.folder)}'s, so it stays.")
            return self.result(before, before.lines)
        if there and not self.module.check_mode:
            with self.place.locked(self.deadline, self.module.warn):
                self.take_up_job(before)
                self.place.remove()
        return self.result(before, [], changed=there)

    def result(self, records, after, changed=False, rebuilt=False, lock=None):
        """What the module returns, of the records before and the package lines after."""
        before = records.lines
        real = self.place.environment
        result = {
            "changed": changed,
            "prefix": self.prefix,
            "revision": os.path.realpath(real) if real else "",
            "before": before,
            "after": after,
            "added": [line for line in after if line not in before],
            "removed": [line for line in before if line not in after],
            "command": self.command,
            "lock": explicit_of(lock or records),
            "rebuilt": rebuilt,
        }
        if self.module._diff:
            texts = {"before": before, "after": after}
            result["diff"] = {name: "".join(line + "\n" for line in lines) for name, lines in texts.items()}
            result["diff"].update(before_header=self.prefix, after_header=self.prefix)
        return result


def explicit_of(records):
    """The explicit list of what is installed; nothing where a record does not say where its package came from."""
    try:
        return records.lock() if records.healthy else ""
    except CondaEnvError:
        return ""


def public(value):
    """A result without the credentials that URLs of channels and packages may have.

    >>> public(["https://ada:pw@host/t/ab-12/conda-forge"])
    ['https://host/conda-forge']
    """
    if isinstance(value, dict):
        return {name: public(each) for name, each in value.items()}
    if isinstance(value, list):
        return [public(each) for each in value]
    if not isinstance(value, str):
        return value
    return re.sub(r"(://[^/\s]+)/t/[^/\s]+", r"\1", re.sub(r"://[^/@\s]+@", "://", value))


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path"},
            "name": {"type": "str"},
            "conda": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "exact", "absent"], "default": "present"},
            "packages": {"type": "list", "elements": "str", "default": []},
            "channels": {"type": "list", "elements": "str", "default": []},
            "environment_yml": {"type": "str"},
            "lock": {"type": "str"},
            "pip": {"type": "list", "elements": "str", "default": []},
            "imports": {"type": "list", "elements": "str", "default": []},
            "offline": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 1800},
            "job": {"type": "dict", "options": OPTIONS},
        },
        mutually_exclusive=[("prefix", "name")],
        required_one_of=[("prefix", "name")],
        supports_check_mode=True,
    )
    os.umask(0o022)  # a shared environment must be readable, whatever its owner's shell says
    environment = None
    try:
        environment = CondaEnv(module)
        result = environment.run()
    except CondaEnvError as error:
        command = environment.command if environment else []
        module.fail_json(**public({"msg": str(error), "command": command, **error.details}))
    except OSError as error:
        path = environment.prefix if environment else module.params["prefix"] or module.params["name"]
        command = environment.command if environment else []
        module.fail_json(**public({"msg": f"{path}: {error}.\nRemedy: {advice(str(error))}.", "command": command}))
    module.exit_json(**public(result))


if __name__ == "__main__":
    main()
