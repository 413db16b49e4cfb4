# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of a Jupyter server: its hash in the configuration, the word itself with its owner alone."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jupyter_password
short_description: Set the password of a user's Jupyter server
description:
  - Sees to it that C(IdentityProvider.hashed_password) in C(jupyter_server_config.json), or C(NotebookApp.password) in
    C(jupyter_notebook_config.json) for the classic server, is a hash of the password.
  - A hash that fits the password stays; hashing anew would give it another salt, and every run would change the file
    and end the open browser sessions.
  - The password comes from O(password), else from O(password_file). If there is neither, and the configuration has no
    hash yet, one is made on this host and kept in O(password_file), which only its owner can read. It isn't returned,
    so whoever runs the playbook doesn't see it.
  - Without O(password), a hash that the word in O(password_file) doesn't fit, or that has none, is the user's own work
    (C(jupyter server password), C(jupyter notebook password)) and stays.
  - C(jupyter_server) heeds C(PasswordIdentityProvider.hashed_password) and C(ServerApp.password) before it. Where the user has
    one of them, it is the hash meant here; both go when another is set.
  - The password reaches the environment's Python on its standard input, never as an argument.
options:
  generation:
    description: Whose it is, of C(jupyter_server) 2 and newer, or of the classic notebook server of version 5 or 6.
    type: str
    choices: [server, classic]
    default: server
  config:
    description:
      - The user's C(jupyter_server_config.json) or C(jupyter_notebook_config.json). Its other keys and its mode stay; a new
        one gets V(0600).
      - When a hash is replaced, a copy of the old file stays beside it; its name ends in V(~).
    type: path
    required: true
  python:
    description: Python of the environment with the server, which makes and checks the hash.
    type: path
    required: true
  password:
    description: The password; empty means the one in O(password_file), or a new one. To change one, give it here.
    type: str
    default: ''
  password_file:
    description:
      - Where a generated password is kept, with mode V(0600).
      - Removed when O(password) is given, since it would hold a word that no longer works.
    type: path
    required: true
  state:
    description:
      - V(absent) removes O(password_file), and the hash if that word fits it, or if there is no O(python) to ask any more.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Also where the environment doesn't exist yet.
  diff_mode:
    support: none
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: Set a password that only the user will know
  jupyter_password:
    config: ~/.jupyter/jupyter_server_config.json
    python: ~/local/miniconda3/envs/myenv/bin/python
    password_file: ~/.config/slipway/jupyter-password
"""

RETURN = r"""
source:
  description:
    - Where the password comes from. V(given) by O(password); V(file), kept in O(password_file); V(own), set by the user.
  returned: success
  type: str
  sample: file
"""

import json
import os
import secrets
import stat
import subprocess
from pathlib import Path

from ansible.module_utils.atomic_files import back_up, make_folders, write_atomically
from ansible.module_utils.basic import AnsibleModule

# Runs in the environment: Jupyter alone knows which hashes it accepts. Prints the hash to keep.
HASH = """
import json, sys
if sys.argv[1] == "server":
    from jupyter_server import __version__
    from jupyter_server.auth.security import passwd, passwd_check
    if int(__version__.split(".")[0]) < 2:
        sys.exit("jupyter_server " + __version__ + " is too old")
else:
    from notebook.auth.security import passwd, passwd_check
password, hashed = json.load(sys.stdin)
print(json.dumps(hashed if hashed and passwd_check(hashed, password) else passwd(password)))
"""
# Where each keeps its hash, in the order that they count; the last one is where ours goes. And what it needs.
KEYS = {
    "server": [
        ("PasswordIdentityProvider", "hashed_password"),
        ("ServerApp", "password"),
        ("IdentityProvider", "hashed_password"),
    ],
    "classic": [("NotebookApp", "password")],
}
NEEDS = {"server": "jupyter_server 2 or newer", "classic": "notebook 5 or 6"}
DEADLINE = 120  # seconds; 0.3 on an idle node, several under emulation or on a cold file system
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


class RefusedError(Exception):
    """The password can't be set; the text says why, and what to do."""


def generated():
    """Four groups of five: 99 bits, and still easy to copy by hand."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))


class JupyterPassword:
    def __init__(self, module):
        self.check_mode = module.check_mode
        self.generation = module.params["generation"]
        self.keys = KEYS[self.generation]
        self.config_file = Path(os.path.realpath(module.params["config"]))
        self.password_file = Path(os.path.realpath(module.params["password_file"]))
        self.python = module.params["python"]
        self.given = module.params["password"]

    def present(self):
        config = self._config()
        old, kept = self._hashed(config), self._kept()
        if old and not self.given and not kept:
            return {"changed": False, "source": "own"}

        password = self.given or kept or generated()
        source = "given" if self.given else "file"
        if self.check_mode and not Path(self.python).exists():
            return {"changed": True, "source": source}
        new = self._hash(password, old)
        if new != old and old and not self.given:
            return {"changed": False, "source": "own"}
        if new != old:
            self._drop(config)
            section, key = self.keys[-1]
            config.setdefault(section, {})[key] = new
        # A password's file comes before its hash and goes after it: killed in between, the user still has the word that opens.
        due = self._act(
            (not self.given and not self._is_private(kept), self._keep_file, password),
            (new != old, self._write_config, config, bool(old)),
            (bool(self.given) and self.password_file.exists(), self.password_file.unlink),
        )
        return {"changed": due, "source": source}

    def absent(self):
        config = self._config()
        old, kept = self._hashed(config), self._kept()
        if not kept:
            return {"changed": False, "source": "own"}
        can_ask = Path(self.python).exists()
        ours = bool(old) and (not can_ask or self._hash(kept, old) == old)
        if ours:
            self._drop(config)
        self._act(
            (ours, self._write_config, config, not can_ask),
            (True, self.password_file.unlink),
        )
        return {"changed": True, "source": "file" if ours else "own"}

    def _act(self, *steps):
        """Take the steps that are needed, each ``(needed, action, arguments...)``; whether there were any."""
        due = [step for needed, *step in steps if needed]
        if not self.check_mode:
            for action, *arguments in due:
                action(*arguments)
        return bool(due)

    def _kept(self):
        return self.password_file.read_text(encoding="utf-8").strip() if self.password_file.is_file() else ""

    def _hashed(self, config):
        """The hash that the server heeds."""
        return next(filter(None, (config.get(section, {}).get(key) for section, key in self.keys)), "")

    def _drop(self, config):
        """Every hash, and the sections that held nothing else."""
        for section, key in self.keys:
            if config.get(section, {}).pop(key, None) is not None and not config[section]:
                del config[section]

    def _config(self):
        try:
            text = self.config_file.read_text(encoding="utf-8") if self.config_file.exists() else ""
            config = json.loads(text) if text.strip() else {}
        except ValueError as error:
            where = f", line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else f": {error}"
            raise RefusedError(f"{self.config_file}{where}; the file must be JSON. Mend it or move it away.") from error
        sections = [section for section, _ in self.keys]
        if not isinstance(config, dict) or not all(isinstance(config.get(name, {}), dict) for name in sections):
            raise RefusedError(f"{self.config_file}: the file and its {', '.join(sections)} must be objects ({{...}}).")
        return config

    def _is_private(self, kept):
        return bool(kept) and stat.S_IMODE(self.password_file.stat().st_mode) == 0o600

    def _keep_file(self, password):
        make_folders(self.password_file.parent)
        write_atomically(self.password_file, password + "\n", 0o600)

    def _write_config(self, config, backup):
        mode = 0o600
        if self.config_file.exists():
            mode = stat.S_IMODE(self.config_file.stat().st_mode)
        if backup:
            back_up(self.config_file, self.config_file.read_text(encoding="utf-8"), mode)
        make_folders(self.config_file.parent)
        write_atomically(self.config_file, json.dumps(config, indent=2, ensure_ascii=False) + "\n", mode)

    def _hash(self, password, old):
        """The old hash if it fits, else a new one."""
        try:
            result = subprocess.run(
                [self.python, "-I", "-c", HASH, self.generation],
                input=json.dumps([password, old]),
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
        except FileNotFoundError as error:
            raise RefusedError(f"{self.python} doesn't exist; make the environment first (role conda_env).") from error
        except subprocess.TimeoutExpired as error:
            raise RefusedError(f"{self.python} took more than {DEADLINE} s to hash; is its file system ill?") from error
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]
            raise RefusedError(f"{self.python}: {reason}; {NEEDS[self.generation]} must be in its environment.")
        return json.loads(result.stdout)


def main():
    module = AnsibleModule(
        argument_spec={
            "generation": {"type": "str", "choices": ["server", "classic"], "default": "server"},
            "config": {"type": "path", "required": True},
            "python": {"type": "path", "required": True},
            "password": {"type": "str", "default": "", "no_log": True},
            "password_file": {"type": "path", "required": True, "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**getattr(JupyterPassword(module), module.params["state"])())
    except RefusedError as problem:
        module.fail_json(msg=str(problem))
    except OSError as problem:
        module.fail_json(msg=f"{problem.filename}: {problem.strerror}")


if __name__ == "__main__":
    main()
