# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a host's variables for several roles at once, on the controller, before anything is touched.

    - name: Judge the variables
      validate_roles:
        roles: [target, miniconda]

A role says what it takes in meta/argument_specs.yml (types, choices, what is required) and in meta/rules.yml what a type can't say:

    - variable: miniconda_channels                 # the one to change
      that: miniconda_channels | length > 0        # a Jinja expression, true or false
      rule: at least one channel                   # in words; a template
      value: "{{ miniconda_channels }}"            # optional: what to show, if not the variable as it is

Ansible's own check of the argument specs comes role by role, stops at the first one, and only once the role is reached. Here one message
lists every problem of a host, and where to mend it. Templates are rendered as in a task of the role, with its defaults and vars; what
the spec takes for a number or a truth value, as `-e dask_cores=40` gives one, is one in the rules.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar, trust_as_template

HIDDEN = "(hidden)"
UNDEFINED = re.compile(r"'(\w+)' is undefined")


@dataclass
class Role:
    """What a role's own files say about its variables."""

    name: str
    defaults: dict[str, Any]
    vars: dict[str, Any]
    options: dict[str, dict[str, Any]]
    rules: list[dict[str, str]]

    @classmethod
    def load(cls, name: str, loader: DataLoader) -> Role:
        path = next((Path(folder, name) for folder in C.DEFAULT_ROLES_PATH if Path(folder, name).is_dir()), None)
        if path is None:
            raise AnsibleActionFail(f"validate_roles: there is no role {name!r} in {':'.join(C.DEFAULT_ROLES_PATH)}")

        def content(folder: str, stem: str) -> list[Any]:
            files = loader.find_vars_files(str(path / folder), stem)
            return [loader.load_from_file(file, trusted_as_template=True) or {} for file in files]

        def merged(folder: str) -> dict[str, Any]:
            return {key: value for part in content(folder, "main") for key, value in part.items()}

        def meta(stem: str) -> Any:
            # These are no variables: without Ansible's tags on each word they are there in a tenth of the time.
            file = path / "meta" / f"{stem}.yml"
            return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader) if file.exists() else None

        specs = (meta("argument_specs") or {}).get("argument_specs", {})
        rules = [{key: trust_as_template(words) for key, words in rule.items()} for rule in meta("rules") or []]
        return cls(name, merged("defaults"), merged("vars"), specs.get("main", {}).get("options", {}), rules)


@dataclass
class Problem:
    role: str
    variable: str
    value: str
    rule: str


@dataclass
class Judge:
    """Judges roles by one host's variables. A variable is blamed once, for the first thing that is wrong with it.

    It's then taken out of the templates: a rule or a value made of it is undefined for want of it, and so blames it again, not itself.
    """

    templar: Templar
    roles: list[Role]
    problems: dict[str, Problem] = field(default_factory=dict)

    def judge(self) -> list[Problem]:
        for role in self.roles:
            for name, spec in role.options.items():
                self._judge_option(role, name, spec)
        if not self._all_hold():
            for role in self.roles:
                for rule in role.rules:
                    self._judge_rule(role, rule)
        return list(self.problems.values())

    def _all_hold(self) -> bool:
        """Whether no rule is broken, by one expression of them all: it costs a fifth of so many. Which one it is, they say one by one."""
        every = " and ".join(f"({rule['that']})" for role in self.roles for rule in role.rules)
        try:
            return self.templar.evaluate_conditional(trust_as_template(every or "true"))
        except AnsibleError:
            return False

    def _judge_option(self, role: Role, name: str, spec: dict[str, Any]) -> None:
        raw = self.templar.available_variables.get(name)
        if raw is None:
            if spec.get("required"):
                self._blame(role, name, "not set", f"required: {spec['description']}")
            return
        try:
            value = self.templar.template(raw)
        except AnsibleError as error:
            self._blame_template(role, name, error)
            return
        result = ArgumentSpecValidator({name: spec}).validate({name: value}, validate_role_argument_spec=True)
        kind = spec.get("type")
        if result.error_messages:
            secrets = {str(value)} if spec.get("no_log") else set()
            words = remove_values("; ".join(result.error_messages), secrets)
            self._blame(role, name, self._shown(name, value), words)
        elif kind == "list" and not isinstance(value, list):
            # The validator splits it at commas; a role would meet a string.
            self._blame(role, name, self._shown(name, value), "a list, even of one: [...]")
        elif kind != "path":
            # A path stays as it's written: the validator fills in the controller's own ~ and $HOME.
            self.templar.available_variables[name] = result.validated_parameters[name]

    def _judge_rule(self, role: Role, rule: dict[str, str]) -> None:
        name = rule["variable"]
        if name in self.problems:
            return
        try:
            if self.templar.evaluate_conditional(rule["that"]):
                return
            value = rule.get("value", self.templar.available_variables.get(name))
            shown = "not set" if value is None else self._shown(name, self.templar.template(value))
            self._blame(role, name, shown, self.templar.template(rule["rule"]))
        except AnsibleError as error:
            self._blame_template(role, name, error)

    def _blame(self, role: Role, variable: str, value: str, rule: str) -> None:
        self.problems.setdefault(variable, Problem(role.name, variable, value, rule))
        self.templar.available_variables.pop(variable, None)

    def _blame_template(self, role: Role, name: str, error: AnsibleError) -> None:
        """Blame what a value lacks, not the value: one missing account name would else be reported for each path made of it."""
        missing = UNDEFINED.findall(str(error)) if isinstance(error, AnsibleUndefinedVariable) else []
        if missing:
            self._blame(role, missing[-1], "not set", f"must be known, since {name} is made of it")
        else:
            self._blame(role, name, "not rendered", f"its template must work: {error}")

    def _shown(self, name: str, value: Any) -> str:
        secret = any(role.options.get(name, {}).get("no_log") for role in self.roles)
        return HIDDEN if secret else repr(value)


def place(problem: Problem, task_vars: dict[str, Any]) -> str:
    """The inventory file to change: the one that names the variable, perhaps in a comment, else the role's own."""
    inventory = Path(task_vars.get("inventory_dir") or "inventory/<site>")
    groups = [*reversed(task_vars.get("group_names", [])), "all"]
    folders = [inventory / "group_vars" / group for group in groups]
    for file in (file for folder in folders for file in sorted(folder.glob("*.yml"))):
        if re.search(rf"^#?\s*{problem.variable}:", file.read_text(encoding="utf-8"), re.MULTILINE):
            return os.path.relpath(file)
    return os.path.relpath(next((folder for folder in folders if folder.is_dir()), folders[0]) / f"{problem.role}.yml")


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec({"roles": {"type": "list", "elements": "str", "required": True}})
        roles = [Role.load(name, self._loader) for name in arguments["roles"]]

        variables: dict[str, Any] = {}
        for layer in (*(role.defaults for role in roles), task_vars, *(role.vars for role in roles)):
            variables.update(layer)
        problems = Judge(self._templar.copy_with_new_env(available_variables=variables), roles).judge()
        if problems:
            entries = [
                f"{p.variable}: {p.value}\n  rule: {p.rule}\n  change it in {place(p, task_vars)}" for p in problems
            ]
            count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            result |= {
                "failed": True,
                "msg": "\n".join([f"{count} with the variables of {task_vars['inventory_hostname']}:", *entries]),
            }
        return result
