# SPDX-License-Identifier: GPL-3.0-or-later
"""One host a user, out of a users file."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: slipway_users
short_description: One host a user, out of a users file
description:
  - Makes a host of each user of a users file, named C(<site>-<user>), in the cluster's group, so that the group's variables, C(--limit),
    C(forks) and C(serial) work on users as on hosts. Their order is the file's; those with an environment of their own come last.
  - No session is ever started for such a host (C(session_enabled) is false).
  - The source is a file that ends in C(.slipway.yml), beside the site's C(group_vars), and is used alone
    (C(-i inventory/site/users.slipway.yml)). Where the folder is the inventory, it is not read (C(ignore_patterns) of ansible.cfg), so
    that nobody's own run meets a cohort.
  - A users file is YAML, a list of entries, or CSV with a line of column names. An entry has a C(name), and may have a C(project), a
    C(profile), a C(state) (V(present) or V(absent)) and C(overrides), a mapping of public variables of the roles. In CSV, other columns
    are overrides.
  - All that is wrong with it is said in one message with line numbers, before any connection. Its values are data and never templates.
options:
  plugin:
    description: Marks a source of this plugin.
    type: str
    required: true
    choices: [slipway_users]
  users:
    description:
      - The users file. It lies outside of the inventory's folder, where Ansible would take it for an inventory.
      - Relative to the source where the source names it, and to the current folder where the environment does.
    type: str
    required: true
    env:
      - name: SLIPWAY_USERS
  state:
    description: The entries to make hosts of. Those to remove are in no run that prepares homes, and the other way round.
    type: str
    choices: [present, absent]
    default: present
    env:
      - name: SLIPWAY_USERS_STATE
  group:
    description: The cluster's group, whose C(group_vars) say how to reach it.
    type: str
    required: true
  site:
    description: What host names begin with. Without it, the name of the source's folder.
    type: str
  access:
    description:
      - V(become) logs in as the group's C(ansible_user), an unprivileged account that may become the users (C(sudo)).
      - V(own) logs in as each user, by their own key.
    type: str
    choices: [become, own]
    default: become
  project_variables:
    description: Variables that an entry's C(project) is the value of. Without it, C(<group>_project).
    type: list
    elements: str
  builder:
    description:
      - The account that has conda and the environment that users share. Its host is in the group as well, the last one.
      - What it has is built and proven first, also where C(--limit) leaves its host out (role shared).
      - Without it, each user has a conda and an environment of their own.
    type: str
  prefix:
    description: Where the builder's conda is, a folder that all users can read. Needed with O(builder).
    type: str
  profile:
    description:
      - The profile (C(conda_env_profile)) of the environment that is shared, the one that the group's variables ask for.
      - An entry with another one, or with an override of C(conda_env_*) or C(target_env_*), gets an environment of its own in
        C(~/.conda/envs), by the shared conda; one with an override of C(target_conda_prefix) gets its own conda, too.
    type: str
    default: modern
  own_at_once:
    description:
      - How many environments of users' own are looked at or built at once (C(conda_env_throttle)), lest they take the whole login node.
      - Where a job builds them (C(conda_env_build)), it is eight whatever this says.
    type: int
    default: 2
author:
  - Slipway contributors
"""

EXAMPLES = r"""
# inventory/triton/users.slipway.yml, used as:
#   SLIPWAY_USERS=autumn.csv ansible-playbook -i inventory/triton/users.slipway.yml site.yml -l triton
plugin: slipway_users
group: triton
builder: slipway
prefix: /software/slipway/miniconda3
"""

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template

PLUGINS = Path(__file__).parents[1]
OWN_ENVIRONMENT = "{{ target_home }}/.conda/envs/{{ target_env_name }}"


def _module(name):
    """A file of plugins/module_utils, which Ansible has on no path of its own process."""
    spec = spec_from_file_location(name, PLUGINS / "module_utils" / f"{name}.py")
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class InventoryModule(BaseInventoryPlugin):
    NAME = "slipway_users"

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith((".slipway.yml", ".slipway.yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self.source = Path(path).absolute()
        source = self._read_config_data(path)
        base = self.source.parent if source.get("users") else Path.cwd()
        file = Path(os.path.normpath(base / Path(self.get_option("users")).expanduser()))
        if self.source.parent in file.parents:
            raise AnsibleParserError(
                f"users: {file} lies in the inventory's folder, {self.source.parent}, where it would be taken for an inventory. "
                "Move it out of there."
            )
        if bool(self.get_option("builder")) != bool(self.get_option("prefix")):
            raise AnsibleParserError(
                f"{path}: builder and prefix come together: whose conda is shared, and where it is"
            )
        users_file = _module("users_file")
        try:
            users = users_file.load(file, users_file.public_variables(PLUGINS.parent / "roles"))
        except users_file.UsersFileError as error:
            raise AnsibleParserError(str(error)) from error
        self.inventory.add_group(self.get_option("group"))
        # An own environment takes long to build, and users of a batch wait for each other: those come last, together.
        for user in sorted(users, key=self._has_own):
            if user.state == self.get_option("state"):
                self._add(user.name, self._variables(user), f"{file}, line {user.line}")
        if self.get_option("builder"):
            shared = {**self._shared(), "ansible_python_interpreter": f"{self.get_option('prefix')}/bin/python"}
            self._add(self.get_option("builder"), shared, f"builder in {path}")

    def _add(self, user, variables, place):
        host = self._host(user)
        if host in self.inventory.hosts or host in self.inventory.groups:
            raise AnsibleParserError(
                f"{place}: user {user} would be host {host}, which is in the inventory already. Correct the name, or give this "
                "source another `site`."
            )
        self.inventory.add_host(host, self.get_option("group"))
        for name, value in {**self._connection(user), "session_enabled": False, **variables}.items():
            self.inventory.set_variable(host, name, value)

    def _host(self, user):
        return f"{self.get_option('site') or self.source.parent.name}-{user}"

    def _connection(self, user):
        if self.get_option("access") == "own":
            return {"ansible_user": user, "ansible_become": False}
        return {"ansible_become": True, "ansible_become_user": user}

    def _variables(self, user):
        variables = {}
        if user.project:
            names = self.get_option("project_variables") or [f"{self.get_option('group')}_project"]
            variables |= dict.fromkeys(names, user.project)
        if user.profile:
            variables["conda_env_profile"] = user.profile
        if self.get_option("builder") and "target_conda_prefix" not in user.overrides:
            variables |= self._shared()
            if self._has_own(user):
                variables["target_env_prefix"] = trust_as_template(OWN_ENVIRONMENT)
                variables["conda_env_throttle"] = self.get_option("own_at_once")
            else:
                # Not one with a profile of their own, though it be the source's: it may be another than the group's.
                variables["shared_stand_in"] = not user.profile and not any(
                    name.startswith(("miniconda_", "jupyter_")) for name in user.overrides
                )
        else:
            variables["conda_env_throttle"] = self.get_option("own_at_once")
        return variables | user.overrides

    def _has_own(self, user):
        """Whether the environment that is shared won't do."""
        mine = [name for name in user.overrides if name.startswith(("conda_env_", "target_env_"))]
        return bool(mine) or user.profile not in ("", self.get_option("profile"))

    def _shared(self):
        return {
            "target_conda_prefix": self.get_option("prefix"),
            "shared_builder": self._host(self.get_option("builder")),
        }
