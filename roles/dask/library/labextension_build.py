# SPDX-License-Identifier: GPL-3.0-or-later
"""JupyterLab's own build as an LSF job, for sites whose login nodes end what runs long."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: labextension_build
short_description: Build JupyterLab's labextensions in an LSF job
description:
  - Runs a command of JupyterLab's as a batch job, and looks at it for a while. The job goes on when a call ends before it does, whether
    by O(patience) or by force.
  - The job of a run that was killed is found again, if it is for the same O(labextensions) in the same environment. One that is for others
    is ended, as is one in an earlier revision of the environment.
  - Two runs on one environment share one job. The one that comes first to its end gets what the command said.
extends_documentation_fragment: lsf_job
options:
  prefix:
    description: The environment. The job's files are in C(share/jupyter/lab/slipway-build) there, for the owner alone.
    type: path
    required: true
  state:
    description: >-
      V(absent) ends the job in the environment, in another revision of it, or in the one beside it that stands in for somebody else's
      (C(PREFIX-slipway)), if this account has one.
    type: str
    choices: [present, absent]
    default: present
  command:
    description: The command. What it has to do changes while it runs, so it does not tell jobs apart.
    type: list
    elements: str
    default: []
  labextensions:
    description: What the environment is to have in the end.
    type: dict
    default: {}
  environment:
    description: Its environment variables, besides those of the connection.
    type: dict
    default: {}
  job:
    description: The job.
    required: true
  nonce:
    description: RV(nonce) of an earlier call, to look at that very job; nothing is submitted then.
    type: str
    default: ''
  patience:
    description: Seconds to look at the job.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Says that it would be built, or which job would be ended.
  diff_mode:
    support: none
notes:
  - Runs as the environment's owner, on a host with LSF's commands, with Python 3.9 or newer.
author:
  - The Slipway project
"""

EXAMPLES = r"""
- name: Build
  labextension_build:
    prefix: /home/ada/local/miniconda3/envs/myenv
    command: [/home/ada/local/miniconda3/envs/myenv/bin/jupyter, lab, build]
    job: {queue: normal, walltime: '1:00'}
  register: build
  until: build is failed or build.finished
  retries: 60
  delay: 0
"""

RETURN = r"""
finished:
  description: Whether the command has come to its end.
  type: bool
  returned: when present
nonce:
  description: What tells the job from others, for O(nonce).
  type: str
  returned: when present
job_id:
  description: LSF's number of the job.
  type: str
  returned: when present
stat:
  description: Its state in LSF's words, empty where LSF does not say.
  type: str
  returned: when present
reason:
  description: Why it waits, in LSF's words.
  type: str
  returned: when present
ended:
  description: The numbers of the jobs that were ended.
  type: list
  elements: str
  returned: when absent
stdout:
  description: What the command wrote.
  type: str
  returned: when finished, unless another run has had it
stderr:
  description: What it wrote as warnings and errors.
  type: str
  returned: when finished
rc:
  description: Its exit code.
  type: int
  returned: failure of the command
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lsf import LsfError
from ansible.module_utils.lsf.command_job import OPTIONS, CommandJob

#: Seconds that another run may look for the job, end and submit it at most: LSF's own deadlines, twice, and the ladder of signals.
BUSY = 180
#: Seconds for which a result that nobody has read is news. JupyterLab is asked first: what it lacks is not of an older build.
FRESH = 120
#: The folder of the job's files.
PLACE = "share/jupyter/lab/slipway-build"
#: Where these end, the text of a command's failure is long enough.
TAIL = 3000


class Build(CommandJob):
    """The one that an environment has."""

    word, variables, timeout = "labextension_build", "conda_env_build_", "conda_env_timeout"
    identity = ("request",)

    def lock(self):
        return locked(self.folder)


def folder_of(prefix):
    """Where the job's files are: in the environment's real folder, since a new revision of it has to be built anew."""
    return Path(os.path.realpath(prefix), PLACE)


def make_folder(prefix):
    """Has the folder of the job's files, and tells it."""
    folder = folder_of(prefix)
    # JupyterLab's own folder is for all who use the environment, this one is not.
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(folder):
    """Keeps another run away while this one submits, or reads the result.

    Raises:
        LsfError: another one holds the lock too long.
    """
    deadline = time.monotonic() + BUSY
    with open(folder / "lock", "a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks
                    break
                if error.errno != errno.EWOULDBLOCK:
                    raise
            if time.monotonic() > deadline:
                raise LsfError(
                    f"another run is busy with the build in {folder}.", remedy="wait for it to end; nothing was changed"
                )
            time.sleep(1)
        os.utime(file.fileno())
        yield


def start(folder, params):
    """The job with this command: one that is there, or a new one."""
    env = {**os.environ, **{name: str(value) for name, value in params["environment"].items()}}
    depends_on = json.dumps([params["labextensions"], params["environment"]], sort_keys=True, default=str)
    request = hashlib.sha256(depends_on.encode()).hexdigest()
    with locked(folder):
        build = Build({**params["job"], "folder": str(folder), "request": request})
        # By the file system's clock: that of the node may differ.
        if build.ended and os.stat(folder / "lock").st_mtime - os.stat(build.path("rc")).st_mtime > FRESH:
            build.forget()
        build.take_up(params["command"], env, "")
    return build


def end_all(prefix, job, check=False, spared=None):
    """Ends this account's jobs in all revisions of an environment, but not the one with the folder ``spared``. Returns their numbers.

    Raises:
        LsfError: LSF does not answer, or a job can't be ended.
    """
    folder, revision = folder_of(prefix), Path(os.path.realpath(prefix))
    # Role conda_env keeps the revisions of ENV in .ENV.slipway.
    has_others = revision.parent.name.startswith(".") and revision.parent.suffix == ".slipway"
    folders = sorted(revision.parent.glob(f"*/{PLACE}")) if has_others else [folder]
    ended = []
    for each in folders:
        # Another account's folder looks empty.
        if each == spared or not os.path.isfile(each / "job.json"):
            continue
        with contextlib.nullcontext() if check else locked(each):
            build = Build({**job, "folder": str(each), "request": ""})
            there = build.find()
            if there:
                ended.append(there.id)
            if not check:
                if there:
                    build.end(there.id)
                build.forget()
    return ended


def again(folder, params):
    """The job that an earlier call has started, or None: another run has read what came of it."""
    build = Build({**params["job"], "folder": str(folder), "request": ""})
    return build if build.asked.get("nonce") == params["nonce"] else None


def collect(build):
    """What the command said, unless another run has read that meanwhile."""
    nonce = build.asked["nonce"]
    with locked(build.folder):
        now = Build(build.options)
        return now.collect() if now.asked.get("nonce") == nonce else None


def look(folder, params):
    """Looks at the job until the command's end, or as long as there is patience.

    Raises:
        LsfError: LSF refused or ended the job, or the command failed.
    """
    deadline = time.monotonic() + params["patience"]
    if not params["nonce"]:
        end_all(params["prefix"], params["job"], spared=folder)
    build = again(folder, params) if params["nonce"] else start(folder, params)
    if build is None:
        return {"finished": True, "nonce": params["nonce"], "job_id": "", "stat": "", "reason": ""}
    facts = {"nonce": build.asked["nonce"], "job_id": build.asked.get("id", "")}
    seen = build.watch(deadline)
    facts.update(stat=seen.stat if seen else "", reason=seen.pend_reason if seen else "")
    if not build.ended:
        return {**facts, "finished": build.replaced}
    done = collect(build)
    return {**facts, "finished": True, **(dict(zip(("rc", "stdout", "stderr"), done)) if done else {})}


def main():
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "command": {"type": "list", "elements": "str", "default": []},
            "labextensions": {"type": "dict", "default": {}},
            "environment": {"type": "dict", "default": {}},
            "job": {"type": "dict", "required": True, "options": OPTIONS},
            "nonce": text,
            "patience": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    absent = module.params["state"] == "absent"
    if module.check_mode and not absent:
        module.exit_json(changed=True, finished=True, nonce="", job_id="", stat="", reason="")
    try:
        if absent:
            ended = []
            for prefix in (module.params["prefix"], module.params["prefix"] + "-slipway"):
                ended += end_all(prefix, module.params["job"], module.check_mode)
            module.exit_json(changed=bool(ended), ended=ended)
        found = look(make_folder(module.params["prefix"]), module.params)
    except LsfError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; a build's files must be the environment's owner's.")
    if found.get("rc"):
        said = f"{found['stdout'].strip()}\n{found['stderr'].strip()}".strip()[-TAIL:]
        told = LsfError(f"job {found['job_id']}: the build ended with exit code {found['rc']}.", said)
        module.fail_json(msg=str(told), **found)
    module.exit_json(changed=True, **found)


if __name__ == "__main__":
    main()
