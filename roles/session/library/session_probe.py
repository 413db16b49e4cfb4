#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a session through its tunnel."""

DOCUMENTATION = r"""
---
module: session_probe
short_description: Asks a session what a browser would ask
version_added: "0.1.0"
description:
  - Works on the controller, whatever the host (an action plugin).
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
