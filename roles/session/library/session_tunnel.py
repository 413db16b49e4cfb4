#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens, looks at or closes the tunnel of a session."""

DOCUMENTATION = r"""
---
module: session_tunnel
short_description: The ssh tunnel from this machine to a session's server
version_added: "0.1.0"
description:
  - Works on the controller, whatever the host (an action plugin).
  - Keeps a tunnel that is there, leads to the right place and answers; else opens it anew.
  - OpenSSH does the work, with the user's own ssh_config. The tunnel outlives the playbook.
options:
  name:
    description: The session's name on this machine, C(SITE-NAME). Its state lies in C($XDG_STATE_HOME/slipway/NAME).
    type: str
    required: true
  state:
    description: Whether there should be a tunnel; V(present) only looks.
    type: str
    choices: [opened, present, closed]
    default: opened
  host:
    description: The login node, a name or an alias as after C(ssh).
    type: str
    required: true
  user:
    description: The account there.
    type: str
    default: ''
  port:
    description: The login node's ssh port; 0 leaves it to ssh_config.
    type: int
    default: 0
  key:
    description: A private key's path; an empty one leaves it to ssh_config.
    type: str
    default: ''
  arguments:
    description: Further arguments of ssh, as in C(ansible_ssh_common_args).
    type: str
    default: ''
  shared:
    description:
      - The control path of a connection to the login node that may be open already, such as Ansible's own or that of C(scripts/login).
      - It carries the tunnel where the login node lets nobody in by a key alone.
    type: path
    default: ''
  local_port:
    description: The port on this machine. Where another program has it, the session's last one or the next free one is taken.
    type: int
    default: 8890
  node:
    description: The compute node, as the login node resolves it. Needed for V(opened).
    type: str
  node_port:
    description: The server's port there. Needed for V(opened).
    type: int
  supervisor:
    description: The program that keeps the open tunnel healthy, started with it and ended with it; an empty one means none.
    type: path
    default: ''
  connection:
    description:
      - What the job says of itself (M(session_job)). Needed where its server is for its own node alone, or speaks https.
      - Such a server is asked by its own certificate and no other. It is kept on this machine, beside the tunnel's record.
    type: dict
    default: {}
  minutes_left:
    description: Minutes until the job's run limit (M(session_job)); after it the supervisor opens no tunnel. Without it nobody knows.
    type: int
  evidence:
    description: What M(session_job) has seen, for the verdict.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Says whether a tunnel would be opened or closed.
    support: full
  diff_mode:
    description: There are no files to compare.
    support: none
author:
  - The Slipway founders
"""

EXAMPLES = r"""
- name: Open the tunnel
  session_tunnel:
    name: mycluster-jupyter
    host: login.example.edu
    user: ada
    node: t037
    node_port: 8888
"""

RETURN = r"""
url:
  description: The address of the server on this machine; empty where there is no tunnel.
  type: str
  returned: always
  sample: http://localhost:8890
forward:
  description: Where the tunnel leads.
  type: dict
  returned: always
  sample: {local_port: 8890, asked: 8890, node: t037, port: 8888, mode: login, socket: "", scheme: http, via: ada@login.example.edu}
certificate:
  description: The file on this machine with the server's certificate, where it speaks https; else empty.
  type: str
  returned: always
fingerprint:
  description: That certificate's SHA-256 fingerprint, as a browser shows it.
  type: str
  returned: always
note:
  description: That another local port was taken than the one asked for; else empty.
  type: str
  returned: always
supervisor:
  description: The process that keeps the tunnel healthy, or 0.
  type: int
  returned: always
verdict:
  description: What is to be thought of the session, before anything was done about it. Not for V(closed).
  type: dict
  returned: success
  sample: {name: tunnel-frozen, rung: tunnel, state: live, message: "the tunnel is frozen", remedy: "", words: ""}
control_socket:
  description: The tunnel's own control socket.
  type: str
  returned: always
"""
