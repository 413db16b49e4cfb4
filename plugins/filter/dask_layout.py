# SPDX-License-Identifier: GPL-3.0-or-later
"""How Dask lays out one job's slots and memory."""

from __future__ import annotations

DOCUMENTATION = r"""
---
name: dask_layout
short_description: Lay out a job's slots and memory as Dask does
description:
  - Says how many worker processes a job of so many slots has, and what each of them gets, in threads and memory.
  - A number of processes passes through. Without one, it's the one that Dask itself would choose, the smallest divisor
    of the slots that isn't below their square root; up to 4 slots, one process each.
positional: _input
options:
  _input:
    description: Slots of one job, on one host.
    type: int
    required: true
  memory:
    description: Memory of one job in Dask's words, such as V(20GB) or V(16 GiB).
    type: str
    required: true
  processes:
    description: Worker processes of one job; V(0) leaves the choice to Dask's rule.
    type: int
    default: 0
  units:
    description: The unit that C(lsf_memory) is in, LSF's C(LSF_UNIT_FOR_LIMITS).
    type: str
    choices: [kb, mb, gb, tb]
    default: mb
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: Five jobs of 40 slots each
  ansible.builtin.debug:
    msg: "{{ 40 | dask_layout(memory='16GB') }}"
# {processes: 8, threads: 5, memory: 2000000000, lsf_memory: 16000}
"""

RETURN = r"""
_value:
  description: The layout of one job.
  type: dict
  contains:
    processes: {description: Worker processes of the job., type: int}
    threads: {description: Threads of each., type: int}
    memory: {description: Bytes of each., type: int}
    lsf_memory: {description: "Memory of the whole job in LSF's unit, rounded up.", type: int}
"""

import math
import re

from ansible.errors import AnsibleFilterError

DECIMAL = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
UNITS = {"kb": 1, "mb": 2, "gb": 3, "tb": 4}


def parsed_memory(text):
    """Bytes, as ``dask.utils.parse_bytes`` reads them: GB is a power of 1000, GiB one of 1024."""
    match = re.fullmatch(r"([0-9]*\.?[0-9]+) ?([kmgtp]?)(i?)b", str(text), re.IGNORECASE)
    if not match:
        raise AnsibleFilterError(f"dask_layout: memory {text!r} must be a number with its unit, such as 20GB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** DECIMAL[prefix.lower()])


def chosen_processes(cores):
    """``distributed.deploy.utils.nprocesses_nthreads``: few threads share a process, yet not each slot is one."""
    if cores <= 4:
        return cores
    return next(divisor for divisor in range(math.isqrt(cores - 1) + 1, cores + 1) if cores % divisor == 0)


def dask_layout(cores, memory, processes=0, units="mb"):
    cores, processes = int(cores), int(processes)
    if cores < 1 or processes < 0:
        raise AnsibleFilterError(
            f"dask_layout: {cores} slots in {processes} processes; there must be at least one slot"
        )
    total = parsed_memory(memory)
    processes = processes or chosen_processes(cores)
    return {
        "processes": processes,
        "threads": cores // processes,
        "memory": total // processes,
        "lsf_memory": math.ceil(total / 1000 ** UNITS[units]),
    }


class FilterModule:
    def filters(self):
        return {"dask_layout": dask_layout}
