# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a session through its tunnel.

Documented in library/session_probe.py. An action plugin, since it works on the controller alone: a module would cost an interpreter of its
own, half a second and more.
"""

from __future__ import annotations

import time
from pathlib import Path

import ansible.module_utils
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase

ROLE = Path(__file__).resolve().parents[1]
# Where a module would find the project's plain Python, this process has to be told.
ansible.module_utils.__path__ += [str(ROLE / "module_utils"), str(ROLE.parents[1] / "plugins/module_utils")]

from ansible.module_utils.session import SessionError
from ansible.module_utils.session.master import Destination
from ansible.module_utils.session.tunnel import Tunnel

try:
    from ansible.module_utils.session import probe
except ImportError:
    probe = None

OPTIONS = {
    "name": {"type": "str", "required": True},
    "host": {"type": "str", "required": True},
    "arguments": {"type": "str", "default": ""},
    "url": {"type": "str", "required": True},
    "token_file": {"type": "str", "required": True},
    "password_file": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "checks": {
        "type": "list",
        "elements": "str",
        "choices": ["api", "login", "activity", "dashboard_route", "password", "local_cluster", "lsf_cluster"],
        "default": ["api"],
    },
    "server_patience": {"type": "int", "default": 120},
    "patience": {"type": "int", "default": 300},
}


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


def answers(params):
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


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        _, params = self.validate_argument_spec(OPTIONS)
        if probe is None:
            return {"failed": True, "msg": missing_required_lib("requests and websocket-client")}
        asked, activity = answers(params)
        last = asked[-1]
        return {"changed": False, "healthy": last["healthy"], "msg": last["msg"], "asked": asked, "activity": activity}
