# SPDX-License-Identifier: GPL-3.0-or-later
"""A cohort's users file, read and judged as a whole, before any connection. Runs on the controller alone.

In YAML, the list itself or a mapping with the one key ``users``:

    - {name: ada, project: ocean}
    - {name: bob, project: ocean, profile: tutorial, overrides: {dask_walltime: 12:00}}
    - {name: eve, state: absent}

or the same in CSV, where a column that is not ``name``, ``project``, ``profile`` or ``state`` is an override. Overrides are public
variables of the roles. What the file says is data: no template of it is ever rendered.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

KEYS = ("name", "project", "profile", "state", "overrides")
STATES = ("present", "absent")

# The portable names of POSIX, with the capitals that sites with an LDAP of their own have; a host's and a file's name is made of it.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
NAME_RULE = "an account's name on the cluster, such as ada: a letter first, then letters, digits, and . _ -, 32 at most"
PROJECT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
PROJECT_RULE = "a project's name as `bsub -P` takes it, such as ocean"

# Public, and yet not for one user of many to have: by name or, with *, by what names have in common.
COMMANDS = "what the site's accounts run is the site's to say, in its group_vars"
DOWNLOADS = "where conda comes from, and whether that is checked, is the site's to say, in its group_vars"
FILES = "files of the controller, and ssh from there, are the site's to say, in its group_vars"
RESERVED = {
    "session_enabled": "nobody starts a job in another's name; users start their own sessions",
    "jupyter_password_prompt": "a password is made on the login node, where only its owner can read it",
    "target_home": "it is found out on the host",
    "target_user": "it is found out on the host",
    "target_conda": "it is found out on the host; target_conda_prefix is where conda shall be",
    "target_env": "it is found out on the host; target_env_prefix is where the environment shall be",
    "shared_builder": "who builds what users share is the site's to say, in its *.slipway.yml",
    "shared_stand_in": "it follows from the other overrides",
    "conda_env_throttle": "how many environments are built at once is the site's to say, in its *.slipway.yml",
    **dict.fromkeys(("preflight_quota_command", "miniconda_quota_command", "conda_env_command"), COMMANDS),
    **dict.fromkeys(
        ("*_lsf_profile", "session_command*", "session_bsub_options", "session_server_arguments"),
        COMMANDS,
    ),
    **dict.fromkeys(
        ("miniconda_base_url", "miniconda_installer_url", "miniconda_installer_sha256", "miniconda_verify"), DOWNLOADS
    ),
    **dict.fromkeys(("miniconda_installer_file", "miniconda_source", "miniconda_staging"), FILES),
    **dict.fromkeys(("conda_env_lock", "conda_env_lock_sources", "conda_env_environment_yml"), FILES),
    **dict.fromkeys(("session_status_file", "session_ssh_*"), FILES),
}
SECRET_NAME = re.compile(r"passw|secret|token|private_?key|api_?key", re.IGNORECASE)
# A private key, a password or conda's token in a URL, a password's hash.
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|//[^/\s@]*@|//\S*/t/[^/\s]+|\$[0-9a-z]{1,2}\$|\b(?:argon2|sha1|sha256):"
)
SECRET_RULE = (
    "no secret belongs into a users file: a password is made on the login node, where only its owner can read it"
)
TEMPLATE = re.compile(r"\{[{%#]")
TEMPLATE_RULE = "a value as it is; templates of a users file are never rendered, since it comes from elsewhere (the inventory's are)"


@dataclass
class User:
    """One entry. ``project`` and ``profile`` are empty where the site's own hold; ``line`` is where it begins."""

    name: str
    line: int
    project: str = ""
    profile: str = ""
    state: str = "present"
    overrides: dict[str, Any] = field(default_factory=dict)


class UsersFileError(Exception):
    """What is wrong with a users file: all of it, in one text."""

    def __init__(self, path, problems):
        """``problems`` are pairs of a line, from 1 on or 0 for the file itself, and what is wrong there."""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        ordered = sorted(problems, key=lambda problem: problem[0])
        lines = [f"line {line}: {text}" if line else text for line, text in ordered]
        super().__init__("\n".join([f"{count} in {path}; nothing was done:", *lines]))


def public_variables(roles):
    """The options of all roles of a folder, by name, as their meta/argument_specs.yml has them."""
    found = {}
    for path in sorted(Path(roles).glob("*/meta/argument_specs.yml")):
        found.update(yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])
    return found


def load(path, variables):
    """Read and judge a users file, CSV by its ending, YAML else.

    Args:
        variables: argument specs of what may be overridden, by name, as ``public_variables`` has them.

    Returns:
        A list of User, in the file's order. Overrides have the types of their specs.

    Raises:
        UsersFileError: all that is wrong, with line numbers, or the reason why the file can't be read.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")  # spreadsheets put a byte order mark in front
        entries = csv_entries(text) if str(path).lower().endswith(".csv") else yaml_entries(text)
    except OSError as error:
        raise UsersFileError(path, [(0, f"{error.strerror}; it must be a file that can be read")]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsersFileError(path, [(line, "not UTF-8; save it in that encoding")]) from error
    except UnreadableError as error:
        raise UsersFileError(path, [error.args]) from error
    judge = Judge(variables)
    users = [judge.user(entry) for entry in entries]
    judge.unique(users)
    if judge.problems:
        raise UsersFileError(path, judge.problems)
    return users


class UnreadableError(Exception):
    """The file's form is not what it should be: a line, and what is wrong."""


# ---- the two forms, brought to YAML's nodes, which know their lines -----------------------------------------------


def yaml_entries(text):
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):  # few of them can stand for millions of users, or for themselves
                raise UnreadableError(line_of(event), f"the alias *{event.anchor}; write out what it stands for")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(mark.line + 1 if mark else 1, f"{error.problem}; the file must be YAML") from error
    except yaml.YAMLError as error:
        raise UnreadableError(1, f"{str(error).splitlines()[0]}; the file must be YAML") from error
    if isinstance(root, yaml.MappingNode) and [key.value for key, _ in root.value] == ["users"]:
        root = root.value[0][1]
    if not isinstance(root, yaml.SequenceNode) or not root.value:
        raise UnreadableError(
            line_of(root) if root else 1, "no list of users; it must be a list, or `users:` with a list"
        )
    return root.value


def csv_entries(text):
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows, line = [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((line, [cell.strip() for cell in row]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableError(line, f"{error}; the file must be CSV") from error
    if len(rows) < 2:
        raise UnreadableError(1, "no users; a CSV file has a line of column names, and a line for each user")
    (header, names), *rest = rows
    if "name" not in names or len(set(names)) < len(names):
        raise UnreadableError(header, f"columns {', '.join(names)}; there must be one `name`, and each of them once")
    for line, row in rest:
        if len(row) != len(names):
            raise UnreadableError(line, f"{len(row)} cells; there must be {len(names)}, as many as columns")
    return [csv_entry(line, zip(names, row)) for line, row in rest]


def csv_entry(line, cells):
    mark = yaml.Mark("", 0, line - 1, 0, None, 0)

    def scalar(text):
        return yaml.ScalarNode("tag:yaml.org,2002:str", text, mark, mark)

    pairs = [(scalar(name), scalar(cell)) for name, cell in cells if cell]
    extra = [(key, node) for key, node in pairs if key.value not in KEYS]
    own = [(key, node) for key, node in pairs if key.value in KEYS]
    if extra:
        own.append((scalar("overrides"), yaml.MappingNode("tag:yaml.org,2002:map", extra, mark, mark)))
    return yaml.MappingNode("tag:yaml.org,2002:map", own, mark, mark)


def line_of(node):
    return node.start_mark.line + 1


# ---- what it says --------------------------------------------------------------------------------------------------


class Judge:
    """Makes users of nodes, and keeps what is wrong with them as pairs of a line and a text."""

    def __init__(self, variables):
        self.variables = variables
        self.profiles = variables["conda_env_profile"]["choices"]
        self.problems = []

    def blame(self, node, text):
        self.problems.append((line_of(node), text))

    def user(self, node):
        user = User("", line_of(node))
        fields = self.pairs(node, "an entry", "a user is a mapping with a name, such as {name: ada, project: ocean}")
        if fields is None:
            return user
        for key, (_, value) in fields.items():
            if key == "overrides":
                user.overrides = self.overrides(value)
            elif key in KEYS:
                setattr(user, key, self.text(key, value))
            else:
                self.blame(value, self.unknown(key, KEYS, "a user has the keys"))
        self.words(user, node, {key: value for key, (_, value) in fields.items()})
        return user

    def words(self, user, node, places):
        """Judges the plain words of an entry."""
        if "name" not in places:
            self.blame(node, f"a user without a name; it must be {NAME_RULE}")
        elif user.name is not None and (not NAME.fullmatch(user.name) or user.name == "root"):
            self.blame(places["name"], f"name {user.name!r}; it must be {NAME_RULE}, and not root")
        if "project" in places and user.project is not None and not PROJECT.fullmatch(user.project):
            self.blame(places["project"], f"project {user.project!r}; it must be {PROJECT_RULE}")
        if "profile" in places and user.profile is not None and user.profile not in self.profiles:
            self.blame(places["profile"], f"profile {user.profile!r}; it must be one of {', '.join(self.profiles)}")
        if user.state is not None and user.state not in STATES:
            self.blame(places["state"], f"state {user.state!r}; it must be one of {', '.join(STATES)}")

    def unique(self, users):
        """Refuses a name that is there twice."""
        first = {}
        for user in users:
            if user.name and first.setdefault(user.name, user) is not user:
                self.problems.append(
                    (user.line, f"name {user.name!r} again; it is in line {first[user.name].line} already")
                )

    def overrides(self, node):
        values = {}
        rule = "overrides are variables of the user's host, such as {dask_memory: 4GB}"
        for name, (key, value) in (self.pairs(node, "overrides", rule) or {}).items():
            if self.permitted(name, key):
                values[name] = self.value(name, value)
        return values

    def permitted(self, name, node):
        spec = self.variables.get(name)
        reserved = [reason for names, reason in RESERVED.items() if fnmatch.fnmatchcase(name, names)]
        if spec is None and SECRET_NAME.search(name):
            self.blame(node, f"overrides have {name} (its value is not shown); {SECRET_RULE}")
        elif spec is None:
            self.blame(node, self.unknown(name, self.variables, "an override must be a public variable of a role"))
        elif reserved:
            self.blame(node, f"overrides have {name}; {reserved[0]}")
        elif spec.get("no_log"):
            self.blame(node, f"overrides have {name} (its value is not shown); {SECRET_RULE}")
        else:
            return True
        return False

    def unknown(self, name, known, rule):
        near = difflib.get_close_matches(name, list(known), 1)
        hint = f"did you mean {near[0]}?" if near else ""
        listed = ", ".join(known) if len(known) <= len(KEYS) else "roles/*/meta/argument_specs.yml has them"
        if SECRET_NAME.search(name):
            hint = SECRET_RULE
        return "; ".join(filter(None, [f"{name!r} is not known", f"{rule}: {listed}", hint]))

    def value(self, name, node):
        """The value as its spec has it; blamed, and None, if it can't be."""
        spec = self.variables[name]
        kind = spec.get("type", "str")
        # Texts are taken as they are written: YAML alone makes 720 of 12:00.
        value = self.text(name, node) if kind in ("str", "path") else self.plain(name, node, kind)
        if value is None:
            return None
        if kind == "list" and not isinstance(value, list):
            self.blame(node, f"{name} is {value!r}; it must be a list, even of one: [...]")
            return None
        checked = ArgumentSpecValidator({name: spec}).validate({name: value})
        if checked.error_messages:
            self.blame(node, f"{name} is {value!r}; {'; '.join(checked.error_messages)}")
        # A path stays as it's written: the validator fills in the controller's own ~ and $HOME.
        return value if kind == "path" else checked.validated_parameters[name]

    def text(self, name, node):
        """A scalar as it is written; blamed, and None, if there is none, or if it is no plain value."""
        if not isinstance(node, yaml.ScalarNode):
            self.blame(node, f"{name} is a list or a mapping; it must be a text")
        elif self.filled(name, node) and self.clean(name, node):
            return node.value
        return None

    def plain(self, name, node, kind):
        """A list, a mapping, a number or a truth value."""
        if kind in ("list", "dict") and isinstance(node, yaml.ScalarNode) and node.start_mark.buffer is None:
            try:  # a cell of a CSV file
                node = yaml.compose("\n" * node.start_mark.line + node.value, Loader=yaml.SafeLoader)
            except (yaml.YAMLError, ValueError):
                self.blame(node, f"{name} is {node.value!r}; it must be YAML in one line, such as [a, b]")
                return None
        if not (self.filled(name, node) and self.clean(name, node)):
            return None
        try:
            return yaml.constructor.SafeConstructor().construct_document(node)
        except (yaml.YAMLError, ValueError) as error:  # 2026-02-30 is the latter
            self.blame(node, f"{name}: {getattr(error, 'problem', error)}")
            return None

    def filled(self, name, node):
        """Whether there is a value at all."""
        if node.tag.endswith(":null"):
            self.blame(node, f'{name} is empty; leave it out, or write "" for an empty text')
            return False
        return True

    def clean(self, name, node):
        """Whether nothing in it is a secret or a template, and no key is there twice."""
        if isinstance(node, yaml.ScalarNode):
            if SECRET.search(node.value):
                self.blame(node, f"{name} (its value is not shown) looks like a secret; {SECRET_RULE}")
            elif TEMPLATE.search(node.value):
                self.blame(node, f"{name} is {node.value!r}; it must be {TEMPLATE_RULE}")
            else:
                return True
            return False
        if isinstance(node, yaml.MappingNode):
            inner = [value for pair in self.pairs(node, name, "").values() for value in pair]
        else:
            inner = node.value
        verdicts = [self.clean(name, value) for value in inner]
        return all(verdicts)

    def pairs(self, node, what, rule):
        """A mapping's nodes by its keys, each once; blamed, and None, if it is no mapping."""
        if not isinstance(node, yaml.MappingNode):
            self.blame(node, f"{what} that is no mapping; {rule}")
            return None
        found = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.blame(key, f"{what}: a key that is no word")
            elif key.value in found:
                self.blame(key, f"{key.value!r} again; it is in line {line_of(found[key.value][0])} already")
            else:
                found[key.value] = (key, value)
        return found
