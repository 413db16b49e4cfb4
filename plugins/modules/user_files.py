# SPDX-License-Identifier: GPL-3.0-or-later
"""Many small files of one user, brought to what is asked in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: user_files
short_description: Merge, write or remove many small files of a user in one call
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
  removed:
    description:
      - Files and folders that are Slipway's alone, by their absolute paths; files by patterns, too, as the shell has them. They go as a
        whole and leave no copy; of a link, the link.
      - The home itself, and what it lies in, is refused.
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
removed:
  description: The files and folders that went.
  returned: success
  type: list
  elements: str
theirs:
  description: The files that are somebody else's, by O(files[].ours). Where there are any, nothing was written.
  returned: success
  type: list
  elements: str
"""

import glob
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.atomic_files import make_folders
from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.user_file import UserFile, judge_folder
from ansible.module_utils.user_text import RefusedError


def doomed(asked):
    """What is there under a name or pattern of O(removed), in order."""
    if not os.path.isabs(asked):
        raise RefusedError("the path must be absolute")
    home = Path(os.path.realpath(Path.home()))
    # A folder of that very name, but none that only fits a pattern: it may be anybody's.
    files = [path for path in sorted(glob.glob(asked)) if os.path.islink(path) or not os.path.isdir(path)]
    found = [Path(os.path.normpath(path)) for path in ([asked] if os.path.lexists(asked) else files)]
    for path in found:
        if Path(os.path.realpath(path)) in (home, *home.parents):
            raise RefusedError("neither the home nor what it lies in is removed")
        judge_folder(path.parent)
    return found


def went(path):
    return {"before_header": path, "after_header": path, "before": "there\n", "after": "absent\n"}


@contextmanager
def named(path):
    """A full disk tells no file name."""
    try:
        yield
    except OSError as problem:
        raise RefusedError(f"{path}: {problem.strerror}. What was written before it is whole; mend this and run again.")


class UserFiles:
    """The whole call: judge everything, then write."""

    def __init__(self, module):
        self.asked = module.params["files"]
        self.directories = [Path(os.path.realpath(path)) for path in module.params["directories"]]
        self.removed = module.params["removed"]
        self.check_mode = module.check_mode

    def run(self):
        files, going = self._judged()
        theirs = [file.asked["path"] for file in files if file.theirs]
        changed = [file for file in files if file.changed and not theirs]
        missing = [path for path in self.directories if not path.is_dir() and not theirs]
        going = [] if theirs else going
        made = [str(path) for path in missing] if self.check_mode else self._written(missing, changed, going)
        gone = [str(path) for path in going]
        return {
            "changed": bool(changed or missing or going),
            "files": [
                {"path": file.asked["path"], "changed": file in changed, "backup": file.backup} for file in files
            ],
            "directories": made,
            "removed": gone,
            "theirs": theirs,
            "diff": [*(file.diff() for file in changed), *map(went, gone)],
        }

    def _judged(self):
        """Every problem in one message: nobody wants to meet them one run at a time."""
        files, going, problems, seen = [], [], [], set()
        for path in self.directories:
            try:
                judge_folder(path)
            except RefusedError as problem:
                problems.append(f"{path}: {problem}")
        for path in self.removed:
            try:
                going += doomed(path)
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
        return files, going

    @staticmethod
    def _written(directories, files, going):
        made = []
        for path in directories:
            with named(path):
                made += make_folders(path)
        for file in files:
            with named(file.path):
                made += file.write()
        for path in going:
            with named(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
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
            "removed": {"type": "list", "elements": "path", "default": []},
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
