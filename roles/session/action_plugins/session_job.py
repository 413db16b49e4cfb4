# SPDX-License-Identifier: GPL-3.0-or-later
"""The LSF job of a session: while it starts on the cluster, this machine logs in for the tunnel to come.

Documented in library/session_job.py, the module that does the work on the login node.
"""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
from ansible.plugins.action import ActionBase

ROLE = Path(__file__).resolve().parents[1]
# Where a module would find the project's plain Python, this process has to be told.
ansible.module_utils.__path__ += [str(ROLE / "module_utils"), str(ROLE.parents[1] / "plugins/module_utils")]

from ansible.module_utils.session.master import Destination
from ansible.module_utils.session.tunnel import Tunnel


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        login = dict(arguments.pop("login", None) or {})
        if not login or self._task.check_mode:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        name = login.pop("name")
        destination = Destination(**{**login, "port": int(login["port"])})
        with Tunnel(name, destination).logging_in() as keep:
            result = self._execute_module(module_args=arguments, task_vars=task_vars)
            if result.get("ready"):
                keep()
        return result
