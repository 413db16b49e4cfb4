# SPDX-License-Identifier: GPL-3.0-or-later
"""Many small files of one user, brought to what is asked in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: user_files
short_description: Merge or write many small files of a user in one call
description:
  - Brings configuration files of the connecting user to what is asked, in one round trip for all of them.
  - YAML and JSON files are merged, so the user's other keys, their order and, in YAML, the comments stay.
  - Every file is judged before the first one is written. A file that can't be understood stops the call with its
    name and line, and nothing is written.
  - Each file is replaced atomically, so a program that reads it sees the old or the new text, and a file that only
    its owner may read (V(0400)) can be updated. Of a symbolic link the target is replaced, and the link stays.
options:
  files:
    description: The files, each named once.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path; V(~) is the user's home. Missing parent folders are made with mode V(0700).
        type: path
        required: true
      format:
        description:
          - V(yaml) and V(json) merge O(files[].content) into the file. Mappings are merged key by key; any other value,
            a list too, replaces the one that is there.
          - V(block) keeps O(files[].content) between two marker lines in a text file, at its end if it's new there.
            Empty content takes the block out.
          - V(text) makes the whole file equal to O(files[].content).
          - V(notebook) is for a Jupyter notebook that its reader will work in. It carries a digest of its own cells in its metadata.
            One whose cells still fit their digest is as it was placed, so a newer one replaces it. One that was edited, or
            run and saved with its results, is the user's and its text stays, an empty one too.
          - What else stands in a YAML file stays to the byte. A mapping between braces is written anew as a whole.
        type: str
        choices: [yaml, json, block, text, notebook]
        required: true
      content:
        description:
          - A mapping for V(yaml) and V(json), a string for V(block), V(text) and V(notebook).
          - May be left out beside O(files[].absent).
        type: raw
      absent:
        description:
          - Keys to take out of V(yaml) and V(json), each with the value that it must have to go. A key with another value,
            or without one here, is the user's and stays.
          - A mapping that has lost all of its keys goes too.
          - Comes before O(files[].content).
        type: dict
        default: {}
      mode:
        description:
          - Permissions of the file, new or old, as a quoted octal number.
          - Without it, a file that is there keeps its own, and a new one gets V(0600).
        type: raw
      backup:
        description:
          - Keep a copy of the old file beside it when its text changes. The copy's name ends in V(~).
          - It's as open as both the old file and the new one, and no more.
        type: bool
        default: true
      marker:
        description: What the marker lines of V(block) say after C(# BEGIN) and C(# END).
        type: str
        default: slipway
      keep:
        description:
          - Keys of V(yaml) and V(json), dotted, whose value in the user's file wins, as in V(jobqueue.lsf.walltime).
          - A key that leads to a mapping protects every value that the user has inside it.
        type: list
        elements: str
        default: []
      ours:
        description:
          - A text by which ours is known. A file that is there without it is somebody else's and stays, and then nothing else of this
            call is written either.
        type: str
        default: ''
      secret:
        description:
          - Leave this file's text out of the diff.
          - Put C(no_log) on the task as well where O(files[].content) itself is a secret.
        type: bool
        default: false
  directories:
    description: Folders to make, with mode V(0700), where they are missing. One that is there is left as it is.
    type: list
    elements: path
    default: []
notes:
  - YAML files need C(ruamel.yaml) in the Python that runs the module. The base of a conda installation has it.
  - A file in which nothing is left, not even a comment, is removed, unless it was asked for as V(text). Where a link leads to it,
    it's left empty.
  - Texts that YAML 1.1 and YAML 1.2 read differently (V(12:00), V(yes)) are written in quotes, since Dask and conda
    don't read the same version.
  - A null of O(files[].content) is written as C(null), and a key that the user left empty, or gave V(~), is as good.
  - What has an anchor in YAML, or comes from a merge key, isn't changed, but refused, since it's used in several places.
attributes:
  check_mode:
    support: full
    description: Says what would change and writes nothing.
  diff_mode:
    support: full
    description: One diff for each changed file, without the text where O(files[].secret) is true.
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: Configure conda and Dask
  user_files:
    directories:
      - /scratch/demo/ada/tmp
    files:
      - path: ~/.condarc
        format: yaml
        content: {channels: [conda-forge], channel_priority: strict}
        secret: true
      - path: ~/.config/dask/jobqueue.yaml
        format: yaml
        content: {jobqueue: {lsf: {queue: normal, walltime: '00:30'}}}
        keep: [jobqueue.lsf.walltime]

- name: Add a block to a script that may hold anything
  user_files:
    files:
      - path: ~/.jupyter/jupyter_notebook_config.py
        format: block
        marker: slipway
        content: c.NotebookApp.allow_remote_access = True
        mode: '0400'
        secret: true

- name: Take out of conda's configuration what is still as we wrote it
  user_files:
    files:
      - path: ~/.condarc
        format: yaml
        absent: {channels: [conda-forge], channel_priority: strict}
"""

RETURN = r"""
files:
  description: What happened to each file, in the order asked.
  returned: success
  type: list
  elements: dict
  contains:
    path: {description: The path as asked., type: str}
    changed: {description: Whether the text or the mode changed., type: bool}
    backup: {description: The copy of the old file; empty when none was made., type: str}
  sample: [{path: /home/ada/.condarc, changed: true, backup: '/home/ada/.condarc.4711.2026-11-23@04:05:06~'}]
directories:
  description: The folders that were made, parents of files included.
  returned: success
  type: list
  elements: str
theirs:
  description: The files that are somebody else's, by O(files[].ours). Where there are any, nothing was written.
  returned: success
  type: list
  elements: str
"""

import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.atomic_files import back_up, make_folders, write_atomically
from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.user_text import RefusedError, merged_json, merged_yaml, with_block, with_seal


def judge_folder(path):
    """Say no to a folder that can't be used or made, before anything is written."""
    while not os.path.lexists(path):
        path = path.parent
    if not path.is_dir():
        raise RefusedError(f"{path} is in the way; it must be a folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise RefusedError(f"the folder {path} must be writable for you; ask its owner, or choose another path")


@contextmanager
def named(path):
    """A full disk tells no file name."""
    try:
        yield
    except OSError as problem:
        raise RefusedError(f"{path}: {problem.strerror}. What was written before it is whole; mend this and run again.")


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


class UserFiles:
    """The whole call: judge everything, then write."""

    def __init__(self, module):
        self.asked = module.params["files"]
        self.directories = [Path(os.path.realpath(path)) for path in module.params["directories"]]
        self.check_mode = module.check_mode

    def run(self):
        files = self._judged()
        theirs = [file.asked["path"] for file in files if file.theirs]
        changed = [file for file in files if file.changed and not theirs]
        missing = [path for path in self.directories if not path.is_dir() and not theirs]
        made = [str(path) for path in missing] if self.check_mode else self._written(missing, changed)
        return {
            "changed": bool(changed or missing),
            "files": [
                {"path": file.asked["path"], "changed": file in changed, "backup": file.backup} for file in files
            ],
            "directories": made,
            "theirs": theirs,
            "diff": [file.diff() for file in changed],
        }

    def _judged(self):
        """Every problem in one message: nobody wants to meet them one run at a time."""
        files, problems, seen = [], [], set()
        for path in self.directories:
            try:
                judge_folder(path)
            except RefusedError as problem:
                problems.append(f"{path}: {problem}")
        for asked in self.asked:
            try:
                file = UserFile(asked)
                if file.path in seen:
                    raise RefusedError("the file is named twice; give all of its content in one entry")
                seen.add(file.path)
                files.append(file)
            except (RefusedError, OSError) as problem:
                problems.append(f"{asked['path']}: {problem}")
        if problems:
            raise RefusedError("\n".join([*problems, "Nothing was written."]))
        return files

    @staticmethod
    def _written(directories, files):
        made = []
        for path in directories:
            with named(path):
                made += make_folders(path)
        for file in files:
            with named(file.path):
                made += file.write()
        return made


def main():
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "format": {
                        "type": "str",
                        "required": True,
                        "choices": ["yaml", "json", "block", "text", "notebook"],
                    },
                    "content": {"type": "raw"},
                    "absent": {"type": "dict", "default": {}},
                    "mode": {"type": "raw"},
                    "backup": {"type": "bool", "default": True},
                    "marker": {"type": "str", "default": "slipway"},
                    "keep": {"type": "list", "elements": "str", "default": []},
                    "ours": {"type": "str", "default": ""},
                    "secret": {"type": "bool", "default": False},
                },
            },
            "directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**UserFiles(module).run())
    except RefusedError as problem:
        module.fail_json(msg=str(problem))
    except ImportError:
        module.fail_json(msg=missing_required_lib("ruamel.yaml", reason="to merge YAML files"))


if __name__ == "__main__":
    main()
