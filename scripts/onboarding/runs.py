# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs, each in a folder of its own: what was asked, what came of it. For the team alone, mode 0700."""

import json
import os
import shutil
import time
from pathlib import Path

from rich.text import Text


def home():
    """Where all runs are."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return state / "slipway/onboard"


class Run:
    """One run's folder. ansible-runner's own files are in ``private`` and go when it ends; result.json is written last."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.private = self.folder / "private"

    @classmethod
    def begin(cls, **asked):
        """A new one; two that begin at once get different names."""
        stamp = time.strftime("%Y-%m-%d_%H%M%S")
        home().mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in range(1, 1000):
            run = cls(home() / (stamp if number == 1 else f"{stamp}-{number}"))
            try:
                run.folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            run.private.mkdir(mode=0o700)
            run.write("asked.json", {**asked, "pid": os.getpid()})
            return run
        raise FileExistsError(f"{home()}/{stamp}: a thousand runs in one second")

    @property
    def name(self):
        return self.folder.name

    def write(self, name, content):
        """A text or, of anything else, its JSON; at once."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        new = path.with_name(f"{path.name}.new")
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        new.write_text(text, encoding="utf-8")
        new.replace(path)
        return path

    def end(self, result):
        """Keeps Ansible's own words and the result, and nothing else of ansible-runner's."""
        for said in self.private.glob("artifacts/*/stdout"):
            shutil.copyfile(said, self.folder / "ansible.log")
        shutil.rmtree(self.private, ignore_errors=True)
        self.write("result.json", result)

    def last_words(self, lines=20):
        """The end of Ansible's own output, without its colours."""
        log = self.folder / "ansible.log"
        said = Text.from_ansi(log.read_text(encoding="utf-8", errors="replace")).plain if log.exists() else ""
        return "\n".join(said.strip().splitlines()[-lines:]) or "none"

    def read(self, name):
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}


def listed():
    """All runs, the oldest first, as rows of (name, what, users, done, failed, stopped, how it ended)."""
    for folder in sorted(home().glob("*")):
        run = Run(folder)
        asked, result = run.read("asked.json"), run.read("result.json")
        counts = [str(result["counts"][key]) for key in ("done", "failed", "stopped")] if result else ["", "", ""]
        ended = result["verdict"] if result else ("runs" if alive(asked.get("pid")) else "broke off")
        yield [run.name, asked.get("what", ""), asked.get("file", ""), *counts, ended]


def alive(pid):
    return pid is not None and Path(f"/proc/{pid}").exists()
