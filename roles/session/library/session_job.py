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
  - The queue's policy tells how to submit. A queue that takes interactive jobs only gets a C(bsub -Is), held on the login node without
    anybody's terminal; any other one a batch job, which outlives the login node.
  - A job is ended by its id, and only one that carries the nonce of this session's record.
  - An action plugin of the same name logs in for the tunnel meanwhile, from the controller.
options:
  name:
    description: The session's name; several may live side by side.
    type: str
    required: true
  state:
    description:
      - V(started) adopts the session's job or submits one.
      - V(present) only looks.
      - V(restarted) ends the session's job, if there is one, and submits another. What its kernels hold is lost.
      - V(relistening) starts the server of the session's job anew so that it listens as O(mode) says. The job goes on.
      - V(stopped) ends the job and forgets the session.
    type: str
    choices: [started, present, relistening, restarted, stopped]
    default: started
  folder:
    description: Where the record, the token and the logs lie, on a home that the compute nodes share.
    type: path
    required: true
  script:
    description: The job script with its C(#BSUB) lines. Needed for V(started) and V(restarted).
    type: str
  queue:
    description: The queue that the script names, to be checked before the submission. Needed for V(started) and V(restarted).
    type: str
  env_prefix:
    description: The environment whose JupyterLab the job runs. Needed for V(started) and V(restarted).
    type: path
  server_port:
    description: The port that the server takes if it is free on its node.
    type: int
    default: 8888
  listen:
    description: The address that the server listens on; an empty one is that of its node's name.
    type: str
    default: ''
  walltime:
    description: The run limit that the script asks for, so that later runs know what is left of it.
    type: str
    default: ''
  mode:
    description:
      - How the server is to be reached, and so what it listens on.
      - V(login), the address of its node, from the login node. V(jump), the loopback, by an ssh to the node itself. V(socket), a
        unix socket in a folder of its owner's, likewise. V(auto), the safest that the node and the server can do.
    type: str
    choices: [auto, login, jump, socket]
    default: login
  certificate:
    description: The server's certificate, a file on the shared home, where it is to speak https; an empty one means http.
    type: str
    default: ''
  certificate_key:
    description: Its key's file; an empty one where the certificate's holds it.
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
  login:
    description:
      - Where M(session_tunnel) will log in from this machine, by its options C(name), C(host), C(user), C(port), C(key), C(arguments) and
        C(shared).
      - With them that is done while the job starts. Where no server listens in the end, or where a tunnel is there, nothing is left of it.
    type: dict
attributes:
  check_mode:
    description: Says what would be submitted or ended.
    support: full
  diff_mode:
    description: Shows the script that is submitted, or the command line of C(bsub -Is).
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
others:
  description: The user's other jobs that run in the queue of a job that waits. Where the queue has one slot a user, they are the reason.
  type: list
  elements: dict
  returned: always
  sample: [{id: "33564", stat: RUN, meaning: live, queue: interactive, host: t037, name: jupyter, pend_reason: ""}]
kind:
  description: How the job was submitted, V(batch) or V(interactive), or would be in check mode; empty where nobody knows.
  type: str
  returned: always
ready:
  description: Whether the job runs and its server listens.
  type: bool
  returned: always
connection:
  description: What the job says of itself, the certificate of a server that speaks https included.
  type: dict
  returned: always
  sample: {node: t037, port: 8888, job_id: "33565", pid: 4711, scheme: http, certificate: ""}
verdict:
  description: What is to be thought of the session, as far as the cluster knows, and the rung of the ladder that helps.
  type: dict
  returned: always
  sample: {name: server-dead, rung: resubmit, state: live, message: "the job runs, but its server is dead.", remedy: "", words: ""}
evidence:
  description: What the verdict rests on; M(session_tunnel) adds what the tunnel says.
  type: dict
  returned: always
  sample: {stat: RUN, server: refused, answered: true, through: "", leads: true, login: ""}
minutes_left:
  description: Minutes until the job's run limit; null while it waits.
  type: int
  returned: always
login_host:
  description: The login host that submitted the job, and holds it if it is an interactive one.
  type: str
  returned: always
here:
  description: The login host that answered now.
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

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.session.job import SessionJob, as_seen
from ansible.module_utils.session.ladder import Evidence
from ansible.module_utils.told_error import ToldError

#: What the launcher has to know.
FACTS = (
    "env_prefix",
    "server_port",
    "listen",
    "mode",
    "walltime",
    "certificate",
    "certificate_key",
    "server_arguments",
)


def start(session, params, anew):
    """Adopts the session's job or submits one; ``anew`` ends the job that is there first."""
    submission = {key: params[key] for key in ("script", "queue", *FACTS)}
    if session.dry:
        job = session.find()
        adopted = job is not None and not anew
        if not adopted:
            session.record.data = {**session.record.data, "kind": session.kind(params["script"], params["queue"])}
        session.look(job)
    else:
        with session.record.locked():
            job, adopted = session.adopt_or_submit(submission, anew)
        job = session.wait_until_ready(job, params["patience"])
    result = {**as_seen(session, job), "adopted": adopted, "changed": not adopted}
    if not adopted:
        by = {"interactive": "bsub -Is", "batch": "bsub < script"}[result["kind"]]
        after = session.as_submitted(result["kind"], params["script"])
        result["diff"] = {"before": "", "after": after, "after_header": f"the job that is submitted by {by}"}
    return result


def stop(session):
    job = session.find()
    session.evidence = Evidence(stat=job.stat if job else "")
    result = {**as_seen(session, job), "adopted": job is not None, "changed": bool(session.record.data)}
    if session.record.data and not session.dry:
        with session.record.locked():
            session.end()
            session.record.forget()
    return result


def run(module):
    params = module.params
    session = SessionJob(params["folder"], params["name"], params["profile"], dry=module.check_mode)
    if params["state"] in ("started", "restarted"):
        return start(session, params, anew=params["state"] == "restarted")
    if params["state"] == "stopped":
        return stop(session)
    if params["state"] == "relistening":
        job = session.relisten(session.find(), params["mode"])
        return {**as_seen(session, job), "adopted": True, "changed": True}
    job = session.wait_until_ready(session.find(), params["patience"])
    return {**as_seen(session, job), "adopted": job is not None, "changed": False}


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["started", "present", "relistening", "restarted", "stopped"],
                "default": "started",
            },
            "folder": {"type": "path", "required": True},
            "script": {"type": "str"},
            "queue": {"type": "str"},
            "env_prefix": {"type": "path"},
            "server_port": {"type": "int", "default": 8888},
            "listen": {"type": "str", "default": ""},
            "walltime": {"type": "str", "default": ""},
            "mode": {"type": "str", "choices": ["auto", "login", "jump", "socket"], "default": "login"},
            "certificate": {"type": "str", "default": ""},
            "certificate_key": {"type": "str", "default": "", "no_log": False},
            "server_arguments": {"type": "list", "elements": "str", "default": []},
            "patience": {"type": "int", "default": 0},
            "profile": {"type": "str", "default": ""},
        },
        required_if=[("state", state, ("script", "queue", "env_prefix")) for state in ("started", "restarted")],
        supports_check_mode=True,
    )
    try:
        result = run(module)
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
