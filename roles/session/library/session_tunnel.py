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

import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.session import SessionError
from ansible.module_utils.session.address import ask, fingerprint
from ansible.module_utils.session.ladder import Evidence, judge
from ansible.module_utils.session.supervisor import Supervisor, started_by
from ansible.module_utils.session.tunnel import ALIVE_COUNT, ALIVE_INTERVAL, Destination, Tunnel, state_folder

#: Seconds without a byte after which a tunnel counts as frozen: longer than ssh itself needs to give up on a dead line. Where
#: the server has just answered to the login node, a few do.
SILENCE = ALIVE_INTERVAL * ALIVE_COUNT + 1
SILENCE_OF_A_WELL_SERVER = 6


#: Seconds for a word to the other end and back, over a connection that stands.
CARRY = 5


def end_of(params):
    """Where the tunnel ends, in the job's own words."""
    return {**params["connection"], "node": params["node"], "port": params["node_port"]}


def look(tunnel, params):
    """The tunnel's forward (None without a tunnel), and the evidence of the job with what the tunnel says."""
    forward = tunnel.forward()
    leads = tunnel.leads(params["local_port"], end_of(params))
    through, carries = "refused", False
    if forward:
        well = params["evidence"].get("server") == "answers"
        patience = SILENCE_OF_A_WELL_SERVER if well else SILENCE
        certificate = params["connection"].get("certificate", tunnel.certificate)
        through = ask("localhost", forward["local_port"], certificate, patience, patience)
        carries = through == "silent" and tunnel.carries(CARRY)
    seen = {
        "through": through,
        "carries": carries,
        "leads": not (forward and params["node"]) or {**forward, "local_port": 0} == {**leads, "local_port": 0},
    }
    return forward, Evidence(**{**params["evidence"], **seen})


def require_an_end(tunnel, forward):
    """Checks that a tunnel to the node itself carries a word there: an sshd may let its owner in, and forward nothing.

    Raises:
        SessionError: it closes at once; then there is no tunnel.
    """
    if forward["mode"] == "login":
        return
    patience = SILENCE_OF_A_WELL_SERVER
    if ask("localhost", forward["local_port"], tunnel.certificate, patience, patience) != "closed":
        return
    words = tunnel.log.read_text(errors="replace")[-800:]
    # First, since it would open the tunnel again.
    Supervisor(tunnel.folder.name).end()
    tunnel.close()
    raise SessionError(
        f"ssh to {forward['node']} works, but nothing answers through it: its sshd may forward nothing (mode {forward['mode']}).",
        words,
        "set session_tunnel_mode to login, or ask the site for AllowTcpForwarding and AllowStreamLocalForwarding on its nodes",
    )


def run(module):
    params = module.params
    destination = Destination(
        params["host"], params["user"], params["port"], params["key"], params["arguments"], params["shared"]
    )
    tunnel = Tunnel(params["name"], destination)
    if params["state"] == "closed":
        forward = tunnel.forward()
        if not module.check_mode:
            # First, since it would open the tunnel again.
            Supervisor(params["name"]).end()
            tunnel.close()
        return told(tunnel, None, changed=forward is not None)
    forward, evidence = look(tunnel, params)
    verdict = judge(evidence)
    if not module.check_mode and (forward or params["state"] == "opened"):
        tunnel.trust(params["connection"].get("certificate"))
    if params["state"] == "present":
        return {**told(tunnel, forward, changed=False), "verdict": {**verdict.as_dict(), "words": str(verdict)}}
    # Whatever else is wrong, a new tunnel is no worse than one that carries nothing.
    changed = (
        forward is None
        or not evidence.leads
        or (evidence.through == "silent" and not evidence.carries)
        or verdict.rung == "tunnel"
    )
    if changed and not module.check_mode:
        forward = tunnel.open(params["local_port"], end_of(params), frozen=evidence.through == "silent")
        require_an_end(tunnel, forward)
    if not module.check_mode:
        tunnel.lasts(params["minutes_left"])
        if params["supervisor"]:
            changed = started_by(params["supervisor"], params["name"]) or changed
        else:
            changed = Supervisor(params["name"]).end() or changed
    return {**told(tunnel, forward, changed), "verdict": {**verdict.as_dict(), "words": str(verdict)}}


def told(tunnel, forward, changed):
    port = (forward or {}).get("local_port")
    note = ""
    if port and port != forward["asked"]:
        note = f"localhost:{forward['asked']} was taken by another program; the tunnel is at localhost:{port}."
    return {
        "changed": changed,
        "url": f"{forward['scheme']}://localhost:{port}" if port else "",
        "forward": forward or {},
        "certificate": str(tunnel.certificate_file) if port and tunnel.certificate else "",
        "fingerprint": fingerprint(tunnel.certificate) if port and tunnel.certificate else "",
        "note": note,
        "supervisor": Supervisor(tunnel.folder.name).pid(),
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
            "shared": {"type": "path", "default": ""},
            "local_port": {"type": "int", "default": 8890},
            "node": {"type": "str"},
            "node_port": {"type": "int"},
            "supervisor": {"type": "path", "default": ""},
            "connection": {"type": "dict", "default": {}},
            "minutes_left": {"type": "int"},
            "evidence": {"type": "dict", "default": {}},
        },
        required_if=[("state", "opened", ("node", "node_port"))],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except SessionError as error:
        module.fail_json(msg=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(
            msg=f"the tunnel's state on this machine could not be kept, or ssh not be run: {error}\n"
            f"Remedy: see that {state_folder(module.params['name'])} is yours and has space, and that ssh is installed"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
