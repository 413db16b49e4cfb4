# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter dask_layout says what Dask does: the tutorial's numbers here, dask-jobqueue itself in test_dask_jobqueue.py."""

import pytest
from ansible.errors import AnsibleFilterError
from module_runner import load

dask_layout = load("plugins/filter/dask_layout.py").dask_layout

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "processes", "memory", "layout"),
    [
        # The tutorial's four shapes; the last one leaves the processes to Dask.
        (40, 1, "20GB", (1, 40, 20 * GB, 20000)),
        (4, 1, "2GB", (1, 4, 2 * GB, 2000)),
        (40, 10, "20GB", (10, 4, 2 * GB, 20000)),
        (40, 0, "16 GB", (8, 5, 2 * GB, 16000)),
    ],
)
def test_the_tutorials_shapes(cores, processes, memory, layout):
    assert tuple(dask_layout(cores, memory, processes).values()) == layout


@pytest.mark.parametrize(
    ("units", "memory", "said"), [("kb", "2GB", 2_000_000), ("gb", "2.5GB", 3), ("mb", "1GiB", 1074), ("tb", "1GB", 1)]
)
def test_lsfs_unit_is_rounded_up(units, memory, said):
    assert dask_layout(4, memory, units=units)["lsf_memory"] == said


@pytest.mark.parametrize("memory", ["20", "GB", "20 000MB", "2e1GB", "-1GB"])
def test_a_memory_without_sense_is_named(memory):
    with pytest.raises(AnsibleFilterError, match="must be a number with its unit, such as 20GB"):
        dask_layout(4, memory)


def test_no_slots():
    with pytest.raises(AnsibleFilterError, match="at least one slot"):
        dask_layout(0, "2GB")
