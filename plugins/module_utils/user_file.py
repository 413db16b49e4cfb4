# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of a user's: what is there, what shall be, and the way between. Runs on the cluster: Python 3.9 and its standard library."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ansible.module_utils.atomic_files import back_up, make_folders, write_atomically
from ansible.module_utils.user_text import RefusedError, merged_json, merged_yaml, with_block, with_seal


def judge_folder(path):
    """Say no to a folder that can't be used or made, before anything is written."""
    while not os.path.lexists(path):
        path = path.parent
    if not path.is_dir():
        raise RefusedError(f"{path} is in the way; it must be a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise RefusedError(f"the folder {path} must be writable for you; ask its owner, or choose another path")


class UserFile:
    """One entry of O(files): what is there, what shall be there, and the way from one to the other."""

    def __init__(self, asked):
        self.asked = asked
        self.path = Path(os.path.realpath(asked["path"]))
        self.before, self.old_mode = self._read()
        self.theirs = self.before is not None and asked["ours"] not in self.before
        self.mode = self._mode()
        self.after = self._render(self.before or "")
        self.backup = ""
        if self.changed and not self.theirs:  # a read-only home that has it all is none of our business
            judge_folder(self.path.parent)

    def _mode(self):
        mode = self.asked["mode"]
        if mode is None:
            return 0o600 if self.old_mode is None else self.old_mode
        if not isinstance(mode, str) or not re.match(r"0?[0-7]{3}\Z", mode):
            raise RefusedError(f"mode {mode!r} must be three octal digits in quotes, such as '0600'")
        return int(mode, 8)

    def _read(self):
        if not Path(self.asked["path"]).is_absolute():
            raise RefusedError("the path must be absolute")
        if not self.path.exists():
            return None, None
        status = self.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("something else than a file is there; move it away")
        if status.st_uid != os.geteuid() and self.asked["ours"]:
            return "", stat.S_IMODE(status.st_mode)  # which says nothing that is ours
        if status.st_uid != os.geteuid():
            raise RefusedError(f"the file belongs to user {status.st_uid}, not to you ({os.geteuid()}); move it away")
        # Bytes that are no UTF-8 pass through a block's neighbourhood unharmed.
        return self.path.read_bytes().decode("utf-8", "surrogateescape"), stat.S_IMODE(status.st_mode)

    def _render(self, text):
        content, kind, absent = self.asked["content"], self.asked["format"], self.asked["absent"]
        merged = {"yaml": merged_yaml, "json": merged_json}.get(kind)
        expected = dict if merged else str
        if absent and not merged:
            raise RefusedError(f"absent is for yaml and json; a {kind} goes when its content is empty")
        content = {} if content is None and absent else content
        if not isinstance(content, expected):
            raise RefusedError(f"content for {kind} must be a {expected.__name__}, not a {type(content).__name__}")
        if merged:
            return merged(text, content, self.asked["keep"], absent)
        if kind == "block":
            return with_block(text, content, self.asked["marker"])
        return with_seal(self.before, content) if kind == "notebook" else content

    @property
    def goes(self):
        """Whether nothing is left of it. One that was empty before, or that a link leads to, is there for a reason."""
        emptied = (self.before or "").strip() and not self.after.strip()
        return bool(emptied) and self.asked["format"] != "text" and not os.path.islink(self.asked["path"])

    @property
    def changed(self):
        if self.before is None and not self.after:
            return False  # nothing to merge, into nothing
        return (self.before, self.old_mode) != (self.after, self.mode)

    def write(self):
        made = make_folders(self.path.parent)
        if self.before == self.after:
            self.path.chmod(self.mode)
            return made
        if self.before is not None and self.asked["backup"]:
            self.backup = back_up(self.path, self.before, self.old_mode & self.mode)
        if self.goes:
            self.path.unlink()
            return made
        write_atomically(self.path, self.after, self.mode)
        return made

    def diff(self):
        was = "absent" if self.old_mode is None else f"mode {self.old_mode:04o}"
        shall = "absent" if self.goes else f"mode {self.mode:04o}"
        before, after = self.before or "", self.after
        if self.before == self.after:
            before, after = was + "\n", shall + "\n"
        elif self.asked["secret"]:
            before, after = "(old text, hidden)\n", "(new text, hidden)\n"
        return {
            "before_header": f"{self.asked['path']} ({was})",
            "after_header": f"{self.asked['path']} ({shall})",
            "before": before.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "after": after.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        }
