# SPDX-License-Identifier: GPL-3.0-or-later
"""Example notebooks in a user's home, which belong to the user as soon as they were touched."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: dask_notebooks
short_description: Place example notebooks, and never touch one that its owner has used
description:
  - Writes each notebook where there is none of its name.
  - A notebook carries a digest of its own cells in its metadata. One whose cells still fit their digest is as it was
    placed, so a newer version replaces it. One that was edited, or run and saved with its results, stays as it is.
options:
  folder:
    description: Where they go; made with mode V(0700) if missing.
    type: path
    required: true
  notebooks:
    description: The notebooks by the names of their files, each with its text.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Says which would be written.
  diff_mode:
    support: none
    description: A notebook's text is of no use to a reader.
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: Place the example
  dask_notebooks:
    folder: ~/dask-examples
    notebooks:
      pi.ipynb: "{{ lookup('ansible.builtin.file', 'pi.ipynb') }}"
"""

RETURN = r"""
written:
  description: Files that were new, or an older version that nobody had touched.
  returned: success
  type: list
  elements: str
kept:
  description: Files of the user's own making, left as they are.
  returned: success
  type: list
  elements: str
"""

import hashlib
import json
from pathlib import Path

from ansible.module_utils.atomic_files import make_folders, write_atomically
from ansible.module_utils.basic import AnsibleModule


def digest(notebook):
    """Of everything that a person sees: sources, results, the numbers beside them."""
    return hashlib.sha256(json.dumps(notebook["cells"], sort_keys=True).encode()).hexdigest()


def sealed(text):
    notebook = json.loads(text)
    notebook["metadata"]["slipway"] = {"digest": digest(notebook)}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def is_untouched(text):
    try:
        notebook = json.loads(text)
        return notebook["metadata"]["slipway"]["digest"] == digest(notebook)
    except (ValueError, KeyError, TypeError):
        return False


def place(folder, notebooks, check_mode):
    wanted = {folder / name: sealed(text) for name, text in sorted(notebooks.items())}
    present = {path: path.read_text(encoding="utf-8", errors="surrogateescape") for path in wanted if path.exists()}
    kept = [path for path, text in present.items() if text != wanted[path] and not is_untouched(text)]
    due = [path for path, text in wanted.items() if present.get(path) != text and path not in kept]
    if not check_mode:
        make_folders(folder)
        for path in due:
            write_atomically(path, wanted[path], 0o600)
    return {"changed": bool(due), "written": [str(path) for path in due], "kept": [str(path) for path in kept]}


def main():
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "notebooks": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**place(Path(module.params["folder"]), module.params["notebooks"], module.check_mode))
    except OSError as problem:
        module.fail_json(
            msg=f"{problem.filename}: {problem.strerror}; dask_examples_dir must be a folder of the user's."
        )


if __name__ == "__main__":
    main()
