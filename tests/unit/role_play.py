# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays one role by ansible-playbook on a folder that stands for a home."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


class Home:
    """A home on this machine, reached without ssh; the role target would look at the tester's own."""

    deadline = 300  # seconds that a run may take

    def __init__(self, folder: Path, role: str, **variables):
        self.folder, self.role = folder, role
        self.path = folder / "home"
        self.path.mkdir()
        (folder / "roles/target/tasks").mkdir(parents=True)
        (folder / "roles/target/tasks/main.yml").write_text("[]")
        (folder / "play.yml").write_text(f"- {{hosts: home, gather_facts: false, roles: [{role}]}}")
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "target_home": str(self.path),
            **variables,
        }
        (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"home": host}}}))

    @property
    def command(self) -> list:
        playbook = Path(sys.executable).with_name("ansible-playbook")
        return [str(playbook), "-i", str(self.folder / "hosts.yml"), str(self.folder / "play.yml")]

    @property
    def environment(self) -> dict:
        return {
            **os.environ,
            "HOME": str(self.path),
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": f"{self.folder}/roles:{PROJECT}/roles",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "tmp"),
        }

    def ansible(self, *arguments, **variables) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.command, *arguments, "-e", json.dumps(variables)],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.deadline,
            check=False,
        )

    def play(self, *arguments, **variables) -> int:
        """The number of changed tasks of a run that worked."""
        done = self.ansible(*arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        (recap,) = (line for line in done.stdout.splitlines() if line.startswith("home ") and "ok=" in line)
        return int(recap.split("changed=")[1].split()[0])

    def __truediv__(self, name: str) -> Path:
        return self.path / name
