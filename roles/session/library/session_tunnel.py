#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens, looks at or closes the tunnel of a session."""

DOCUMENTATION = r"""
---
module: session_tunnel
short_description: The ssh tunnel from this machine to a session's server
version_added: "0.1.0"
description:
  - Runs on the controller, so delegate it to localhost with C(become) off.
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
  local_port:
    description: The port on this machine.
    type: int
    default: 8890
  node:
    description: The compute node, as the login node resolves it. Needed for V(opened).
    type: str
  node_port:
    description: The server's port there. Needed for V(opened).
    type: int
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
  delegate_to: localhost
  become: false
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
  sample: {local_port: 8890, node: t037, port: 8888, via: ada@login.example.edu}
control_socket:
  description: The tunnel's own control socket.
  type: str
  returned: always
"""

import socket

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.session import SessionError
from ansible.module_utils.session.tunnel import ALIVE_COUNT, ALIVE_INTERVAL, Destination, Tunnel

#: Seconds without a byte after which a tunnel counts as frozen: longer than ssh itself needs to give up on a dead line.
SILENCE = ALIVE_INTERVAL * ALIVE_COUNT + 1


def frozen(port):
    """Whether the port is open and silent. One that is closed at once is a living tunnel to a server not yet there."""
    try:
        with socket.create_connection(("localhost", port), timeout=SILENCE) as connection:
            connection.sendall(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
            connection.recv(1)
    except socket.timeout:
        return True
    except OSError:
        return False
    return False


def run(module):
    params = module.params
    destination = Destination(params["host"], params["user"], params["port"], params["key"], params["arguments"])
    tunnel = Tunnel(params["name"], destination)
    forward = tunnel.forward()
    changed = False
    if params["state"] == "opened":
        wanted = tunnel.leads(params["local_port"], params["node"], params["node_port"])
        changed = forward != wanted or frozen(params["local_port"])
        if changed and not module.check_mode:
            tunnel.open(params["local_port"], params["node"], params["node_port"])
            forward = wanted
    elif params["state"] == "closed":
        changed = forward is not None
        if not module.check_mode:
            tunnel.close()
            forward = None
    port = (forward or {}).get("local_port")
    return {
        "changed": changed,
        "url": f"http://localhost:{port}" if port else "",
        "forward": forward or {},
        "control_socket": str(tunnel.socket),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["opened", "present", "closed"], "default": "opened"},
            "host": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 0},
            "key": {"type": "str", "default": "", "no_log": False},
            "arguments": {"type": "str", "default": ""},
            "local_port": {"type": "int", "default": 8890},
            "node": {"type": "str"},
            "node_port": {"type": "int"},
        },
        required_if=[("state", "opened", ("node", "node_port"))],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except SessionError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
