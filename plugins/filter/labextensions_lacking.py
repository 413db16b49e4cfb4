# SPDX-License-Identifier: GPL-3.0-or-later
"""What JupyterLab still lacks, by its own word."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: labextensions_lacking
short_description: Names the labextensions that JupyterLab lacks
description:
  - Reads what C(jupyter labextension list) prints, of any JupyterLab from 1 to 4.
  - A labextension is there when it's enabled, fits this JupyterLab (OK), and has the wanted version.
positional: _input
options:
  _input:
    description: The output of C(jupyter labextension list), both streams.
    type: str
    required: true
  wanted:
    description:
      - By name, a version or its first numbers (V(2) is any 2.x).
      - Else the place of a package, a path or an address; what has the name is taken for it, in any version.
    type: dict
    required: true
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: What is to be built
  ansible.builtin.debug:
    msg: "{{ listed.stdout | labextensions_lacking(wanted={'dask-labextension': '2'}) }}"
"""

RETURN = r"""
_value:
  description: What to give to C(jupyter labextension install), by name.
  type: dict
"""

import re

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"^\s+(\S+) v(\S+)\s+enabled\s+OK\b", re.MULTILINE)


def labextensions_lacking(listed, wanted):
    found = dict(LINE.findall(COLOURS.sub("", listed)))
    lacking = {}
    for name, source in wanted.items():
        is_place = "/" in str(source)
        version = "" if is_place else f"{source}."
        if name not in found or not f"{found[name]}.".startswith(version):
            lacking[name] = source if is_place else f"{name}@{source}"
    return lacking


class FilterModule:
    def filters(self):
        return {"labextensions_lacking": labextensions_lacking}
