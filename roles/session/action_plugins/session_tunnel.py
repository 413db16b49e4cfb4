# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens, looks at or closes the tunnel of a session.

Documented in library/session_tunnel.py. An action plugin, since it works on the controller alone: a module would cost an interpreter of its
own, half a second and more.
"""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ROLE = Path(__file__).resolve().parents[1]
# Where a module would find the project's plain Python, this process has to be told.
ansible.module_utils.__path__ += [str(ROLE / "module_utils"), str(ROLE.parents[1] / "plugins/module_utils")]

from ansible.module_utils.session import SessionError
from ansible.module_utils.session.address import ask, fingerprint
from ansible.module_utils.session.ladder import Evidence, judge
from ansible.module_utils.session.master import ALIVE_COUNT, ALIVE_INTERVAL, Destination
from ansible.module_utils.session.supervisor import Supervisor, at_hand
from ansible.module_utils.session.tunnel import Tunnel, state_folder

OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["opened", "present", "closed"], "default": "opened"},
    "host": {"type": "str", "required": True},
    "user": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 0},
    "key": {"type": "str", "default": ""},
    "arguments": {"type": "str", "default": ""},
    "shared": {"type": "path", "default": ""},
    "local_port": {"type": "int", "default": 8890},
    "node": {"type": "str"},
    "node_port": {"type": "int"},
    "supervisor": {"type": "path", "default": ""},
    "connection": {"type": "dict", "default": {}},
    "minutes_left": {"type": "int"},
    "evidence": {"type": "dict", "default": {}},
}

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


def kept(params, dry):
    """The tunnel as the options want it; ``dry`` changes nothing. Returns the task's result."""
    destination = Destination(
        params["host"], params["user"], params["port"], params["key"], params["arguments"], params["shared"]
    )
    tunnel = Tunnel(params["name"], destination)
    if params["state"] == "closed":
        forward = tunnel.forward()
        if not dry:
            # First, since it would open the tunnel again.
            Supervisor(params["name"]).end()
            tunnel.close()
        return told(tunnel, None, changed=forward is not None)
    forward, evidence = look(tunnel, params)
    verdict = judge(evidence)
    if not dry and (forward or params["state"] == "opened"):
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
    if not dry:
        supervised = params["supervisor"]
        with (
            at_hand(supervised, params["name"]) if supervised else nullcontext(Supervisor(params["name"]).end) as settle
        ):
            if changed:
                forward = tunnel.open(params["local_port"], end_of(params), frozen=evidence.through == "silent")
                require_an_end(tunnel, forward)
            tunnel.lasts(params["minutes_left"])
            changed = settle() or changed
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


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(OPTIONS, required_if=[("state", "opened", ("node", "node_port"))])
        try:
            return kept(params, dry=self._task.check_mode)
        except SessionError as error:
            return {"failed": True, "msg": str(error)}
        except (OSError, subprocess.SubprocessError) as error:
            folder = state_folder(params["name"])
            return {
                "failed": True,
                "msg": f"the tunnel's state on this machine could not be kept, or ssh not be run: {error}\n"
                f"Remedy: see that {folder} is yours and has space, and that ssh is installed",
            }
