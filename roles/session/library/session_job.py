#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, finds or ends the LSF job of a session."""

DOCUMENTATION = r"""
---
module: session_job
short_description: The LSF job that runs a Jupyter server
version_added: "0.1.0"
description:
  - Finds the session's job by its record, and submits one only where none is waiting, running or suspended.
  - Runs on the login node, as the session's owner, with the standard library alone.
  - A nonce is recorded before the submission and travels with the job as its description. A run that was killed between
    the submission and the record thus finds its job again instead of submitting a second one.
  - A job is ended by its id, and only one that carries the nonce of this session's record.
options:
  name:
    description: The session's name; several may live side by side.
    type: str
    required: true
  state:
    description:
      - V(started) adopts the session's job or submits one.
      - V(present) only looks.
      - V(stopped) ends the job and forgets the session.
    type: str
    choices: [started, present, stopped]
    default: started
  folder:
    description: Where the record, the token and the logs lie, on a home that the compute nodes share.
    type: path
    required: true
  script:
    description: The job script with its C(#BSUB) lines. Needed for V(started).
    type: str
  queue:
    description: The queue that the script names, to be checked before the submission. Needed for V(started).
    type: str
  env_prefix:
    description: The environment whose JupyterLab the job runs. Needed for V(started).
    type: path
  server_port:
    description: The port that the server takes if it is free on its node.
    type: int
    default: 8888
  listen:
    description: The address that the server listens on; an empty one is that of its node's name.
    type: str
    default: ''
  server_arguments:
    description: Further arguments of C(jupyter lab). They are visible to others on the node, so no secrets.
    type: list
    elements: str
    default: []
  patience:
    description: Seconds to wait in this call for the job to start and to say where it listens.
    type: int
    default: 0
  profile:
    description: The site's profile.lsf. An empty one means the login shell's environment.
    type: str
    default: ''
attributes:
  check_mode:
    description: Says what would be submitted or ended.
    support: full
  diff_mode:
    description: Shows the script that is submitted.
    support: full
author:
  - The Slipway founders
"""

EXAMPLES = r"""
- name: Start or adopt the session's job
  session_job:
    name: jupyter
    folder: /home/ada/.local/state/slipway
    queue: interactive
    env_prefix: /home/ada/local/miniconda3/envs/myenv
    script: "{{ lookup('ansible.builtin.template', 'job.sh.j2') }}"
    patience: 30

- name: End it
  session_job:
    name: jupyter
    folder: /home/ada/.local/state/slipway
    state: stopped
"""

RETURN = r"""
job:
  description: The job as LSF shows it; empty where there is none.
  type: dict
  returned: always
  sample: {id: "33565", stat: RUN, meaning: live, queue: interactive, host: t037, name: jupyter, pend_reason: ""}
adopted:
  description: Whether the job was there before this call.
  type: bool
  returned: always
ready:
  description: Whether the job runs and its server listens.
  type: bool
  returned: always
connection:
  description: What the job says of itself.
  type: dict
  returned: always
  sample: {node: t037, port: 8888, job_id: "33565", pid: 4711}
login_host:
  description: The login host that submitted the job.
  type: str
  returned: always
token_file:
  description: The file on the cluster that holds the token of Slipway's own requests.
  type: str
  returned: always
server_log:
  description: The file on the cluster that holds what the server says.
  type: str
  returned: always
"""

import inspect
import socket
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lsf.client import Lsf, environment
from ansible.module_utils.session import SessionError, launcher
from ansible.module_utils.session.record import Record, write_private
from ansible.module_utils.told_error import ToldError

#: Seconds between two looks at a job that is about to start.
POLL = 2


class SessionJob:
    """The job of one session: what its record says, and what LSF says."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.record = Record(module.params["folder"], module.params["name"])
        self.lsf = Lsf(environment(module.params["profile"], "session_"), "session_")

    @property
    def description(self):
        """What ``-Jd`` carries: no other job has it."""
        return "slipway {} {}".format(self.record.name, self.record.data.get("nonce", ""))

    def is_ours(self, job):
        return job.description == self.description

    def find(self):
        """The recorded session's job, unless it is over; mends a record whose run was killed before it had the id."""
        if not self.record.data:
            return None
        job_id = self.record.data.get("job_id")
        job = self.lsf.job(job_id) if job_id else None
        if job is None or not self.is_ours(job):
            ours = [other for other in self.lsf.jobs() if self.is_ours(other)]
            job = max(ours, key=lambda found: int(found.id)) if ours else None
        if job is None or job.meaning == "over":
            return None
        if job.id != job_id and not self.module.check_mode:
            self.record.data["job_id"] = job.id
            self.record.save()
        return job

    def submit(self):
        """Records an intent, submits, records the id."""
        self.lsf.require_queue(self.params["queue"])
        self.record.intend(
            login_host=socket.gethostname(),
            env_prefix=self.params["env_prefix"],
            server_port=self.params["server_port"],
            listen=self.params["listen"],
            server_arguments=self.params["server_arguments"],
        )
        write_private(self.record.beside("launch.py"), inspect.getsource(launcher))
        job_id = self.lsf.submit(self.params["script"], self.description)
        self.record.data["job_id"] = job_id
        self.record.save()
        return self.lsf.job(job_id)

    def ready(self, job):
        """Whether the job runs and its server listens where the job says."""
        said = self.record.connection()
        if not said or job is None or job.meaning != "live":
            return False
        try:
            socket.create_connection((said["node"], said["port"]), timeout=POLL).close()
        except OSError:
            return False
        return True

    def wait_until_ready(self, job):
        """Looks until the server listens or the patience ends. Returns the job as last seen.

        Raises:
            SessionError: the job is over; with the server's last words.
        """
        deadline = time.monotonic() + self.params["patience"]
        while job and job.meaning != "over" and not self.ready(job) and time.monotonic() < deadline:
            time.sleep(POLL)
            job = self.lsf.job(job.id)
        if self.params["patience"] and self.record.data and (job is None or job.meaning == "over"):
            raise SessionError(
                "job {} ended before its server listened.".format(self.record.data.get("job_id", "")),
                self.last_words(),
                "the whole of it is in {} on the cluster".format(self.record.beside("server.log")),
            )
        return job

    def last_words(self):
        """The end of what the server, or LSF, wrote."""
        for ending in ("server.log", "job.log"):
            path = self.record.beside(ending)
            if path.exists() and path.stat().st_size:
                return path.read_text(errors="replace")[-1500:]
        return ""

    def start(self):
        if self.module.check_mode:
            job = self.find()
            adopted = job is not None
            if not adopted:
                self.lsf.require_queue(self.params["queue"])
        else:
            with self.record.locked():
                job = self.find()
                adopted = job is not None
                if not adopted:
                    job = self.submit()
            job = self.wait_until_ready(job)
        result = self.result(job, adopted, changed=not adopted)
        if not adopted:
            result["diff"] = {
                "before": "",
                "after": self.params["script"],
                "after_header": "the job that is submitted",
            }
        return result

    def stop(self):
        job = self.find()
        result = self.result(job, adopted=job is not None, changed=bool(self.record.data))
        if self.record.data and not self.module.check_mode:
            with self.record.locked():
                # A bsub whose answer was lost may have left more than one with our nonce.
                ours = [job for job in self.lsf.jobs() if self.is_ours(job) and job.meaning != "over"]
                for job in ours:
                    self.lsf.kill(job.id)
                for job in ours:
                    self.lsf.wait_until_over(job.id)
                self.record.forget()
        return result

    def result(self, job, adopted, changed):
        connection = (self.record.connection() if job else None) or {}
        shown = {}
        if job:
            shown = {
                key: getattr(job, key) for key in ("id", "stat", "meaning", "queue", "host", "name", "pend_reason")
            }
        return {
            "changed": changed,
            "adopted": adopted,
            "job": shown,
            "ready": self.ready(job),
            "connection": {key: connection[key] for key in ("node", "port", "job_id", "pid") if key in connection},
            "login_host": self.record.data.get("login_host", ""),
            "token_file": str(self.record.beside("token")),
            "server_log": str(self.record.beside("server.log")),
        }

    def run(self):
        if self.params["state"] == "started":
            return self.start()
        if self.params["state"] == "stopped":
            return self.stop()
        job = self.wait_until_ready(self.find())
        return self.result(job, adopted=job is not None, changed=False)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "present", "stopped"], "default": "started"},
            "folder": {"type": "path", "required": True},
            "script": {"type": "str"},
            "queue": {"type": "str"},
            "env_prefix": {"type": "path"},
            "server_port": {"type": "int", "default": 8888},
            "listen": {"type": "str", "default": ""},
            "server_arguments": {"type": "list", "elements": "str", "default": []},
            "patience": {"type": "int", "default": 0},
            "profile": {"type": "str", "default": ""},
        },
        required_if=[("state", "started", ("script", "queue", "env_prefix"))],
        supports_check_mode=True,
    )
    try:
        result = SessionJob(module).run()
    except ToldError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename or module.params['folder']}: {error.strerror}. The session's record has to be kept there; "
            "see that the folder is yours and has space (session_folder)."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
