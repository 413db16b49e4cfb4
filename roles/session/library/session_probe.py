#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a session through its tunnel."""

DOCUMENTATION = r"""
---
module: session_probe
short_description: Asks a session what a browser would ask
version_added: "0.1.0"
description:
  - Runs on the controller, so delegate it to localhost with C(become) off.
  - Never fails on what it finds. It returns a verdict, and the playbook decides. The first check that does not pass is the last.
  - The session's token and the password are read through the tunnel's connection; they are in no variable or result.
  - A server that speaks https hears them only once it has shown that the certificate that M(session_tunnel) keeps is its own.
requirements:
  - requests
  - websocket-client
options:
  name:
    description: The session's name on this machine, as for M(session_tunnel).
    type: str
    required: true
  host:
    description: The login node, as for M(session_tunnel).
    type: str
    required: true
  arguments:
    description: Further arguments of ssh, as for M(session_tunnel).
    type: str
    default: ''
  url:
    description: The address of the server on this machine.
    type: str
    required: true
  token_file:
    description: The file on the cluster with the session's token.
    type: str
    required: true
  password_file:
    description: The file on the cluster with a generated password. Needed for the check V(password) without O(password).
    type: str
    default: ''
  password:
    description: The password, where a person chose it.
    type: str
    default: ''
  checks:
    description: What to ask, one after the other.
    type: list
    elements: str
    choices: [api, login, activity, dashboard_route, password, local_cluster, lsf_cluster]
    default: [api]
  server_patience:
    description: Seconds that the server may take to answer for the first time.
    type: int
    default: 120
  patience:
    description: Seconds that one computation of the full checks may take.
    type: int
    default: 300
attributes:
  check_mode:
    description: Changes nothing in any mode; the full checks start a kernel and a one-worker job and end them.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
author:
  - The Slipway founders
"""

EXAMPLES = r"""
- name: Check the session
  session_probe:
    name: mycluster-jupyter
    host: login.example.edu
    url: http://localhost:8890
    token_file: /home/ada/.local/state/slipway/session-jupyter.token
    checks: [api, login]
  delegate_to: localhost
  become: false
"""

RETURN = r"""
healthy:
  description: Whether all checks passed.
  type: bool
  returned: always
msg:
  description: The last one's evidence, or the failure with the tool's words and the remedy.
  type: str
  returned: always
  sample: Jupyter server 2.21.1 answers
asked:
  description: Each check that was made, with its words and how long it took.
  type: list
  elements: dict
  returned: always
  sample: [{check: api, healthy: true, msg: Jupyter server 2.21.1 answers, seconds: 0.1}]
activity:
  description: What runs in the server, for the check V(activity).
  type: dict
  returned: always
  sample: {kernels: [{name: python3, state: idle, notebook: a.ipynb, last_activity: "2026-11-25T12:00:00Z"}], dashboards: []}
"""

import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.session import SessionError
from ansible.module_utils.session.tunnel import Destination, Tunnel

try:
    from ansible.module_utils.session import probe

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()


def reached(tunnel, params):
    """The server, once it answers: nothing of one that is still starting can be judged."""
    token = tunnel.read_remote(params["token_file"])
    lab = probe.Lab(params["url"], token, params["patience"], tunnel.certificate_file)
    probe.wait_for_api(lab, params["server_patience"])
    return lab


def answer(lab, check, tunnel, params):
    if check == "password":
        return lab.password(params["password"] or tunnel.read_remote(params["password_file"]))
    return getattr(lab, check)()


def run(params):
    """Each check's result, the last one's being the first that did not pass; and what runs in the server, if that was asked."""
    tunnel = Tunnel(params["name"], Destination(params["host"], arguments=params["arguments"]))
    lab, asked, activity = None, [], {}
    for check in params["checks"]:
        started = time.monotonic()
        try:
            lab = lab or reached(tunnel, params)
            healthy, said = True, answer(lab, check, tunnel, params)
        except SessionError as error:
            healthy, said = False, f"check {check}: {error}"
        if isinstance(said, dict):
            activity, said = said, f"{len(said['kernels'])} kernels, {len(said['dashboards'])} dashboards"
        asked.append({"check": check, "healthy": healthy, "msg": said, "seconds": round(time.monotonic() - started, 1)})
        if not healthy:
            break
    return asked, activity


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "arguments": {"type": "str", "default": ""},
            "url": {"type": "str", "required": True},
            "token_file": {"type": "str", "required": True, "no_log": False},
            "password_file": {"type": "str", "default": "", "no_log": False},
            "password": {"type": "str", "default": "", "no_log": True},
            "checks": {
                "type": "list",
                "elements": "str",
                "choices": ["api", "login", "activity", "dashboard_route", "password", "local_cluster", "lsf_cluster"],
                "default": ["api"],
            },
            "server_patience": {"type": "int", "default": 120},
            "patience": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests and websocket-client"), exception=IMPORT_ERROR)
    asked, activity = run(module.params)
    module.exit_json(changed=False, healthy=asked[-1]["healthy"], msg=asked[-1]["msg"], asked=asked, activity=activity)


if __name__ == "__main__":
    main()
