# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/test with stages of a second: what it shows and counts, its exit code, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from role_play import PROJECT

# What is begun in the background of a shell without job control has SIGINT ignored, as these tests may be.
COMMAND = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
main = runpy.run_path(sys.argv.pop(), run_name="test")["main"]
main.__globals__["PUSH"] = {stages}
main()
"""
JUNIT = """<testsuites><testsuite><testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="words of its failure"/></testcase></testsuite></testsuites>"""


@pytest.fixture
def begin(tmp_path):
    """Starts a copy of scripts/test, in a folder of its own, with groups of stages ``(name, minutes, shell commands, results)``."""
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts/test"
    script.write_text((PROJECT / "scripts/test").read_text())

    def start(*groups):
        stages = [
            [(name, minutes, ["sh", "-c", shell], results) for name, minutes, shell, results in g] for g in groups
        ]
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(stages=stages), script],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def leaves(name):
    return f"cat > .cache/results/{name} <<'.'\n{JUNIT}\n.\n"


def test_stages_of_a_group_run_at_once_and_are_told_one_after_the_other(begin):
    meet = "touch {0}; n=0; until test -e {1} || test $n = 100; do n=$((n+1)); sleep 0.1; done; test -e {1}; echo {0} met {1}; nice\n"
    run = begin(
        [("lint", 1, "echo looks well", "")],
        [
            ("molecule", 1, meet.format("one", "two") + leaves("molecule-site.xml"), "molecule-*.xml"),
            ("unit", 1, meet.format("two", "one") + leaves("unit.xml"), "unit.xml"),
        ],
    )
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, said
    told = [line for line in said.splitlines() if line in ("looks well", "one met two", "two met one")]
    assert told == ["looks well", "one met two", "two met one"]
    assert said.count("failed: a::bad\n  words of its failure") == 2
    assert said.splitlines()[-1] == "2 passed, 2 failed"


def test_the_one_beside_is_polite(begin):
    run = begin([("molecule", 1, "echo first $(nice)", ""), ("unit", 1, "echo second $(nice)", "")])
    said, _ = run.communicate(timeout=60)
    mine = os.nice(0)
    assert f"first {mine}\n" in said
    assert f"second {min(mine + 10, 19)}\n" in said


def test_all_stages_run_and_the_first_failure_is_the_exit_code(begin):
    run = begin([("lint", 1, "exit 3", "")], [("molecule", 1, "exit 0", "molecule-*.xml"), ("unit", 1, "exit 4", "")])
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 3
    assert [line.split()[:3] for line in said.splitlines() if "failed (" in line] == [
        ["lint", "failed", "(3)"],
        ["molecule", "failed", "(5)"],  # it left no result
        ["unit", "failed", "(4)"],
    ]
    assert said.splitlines()[-1] == "0 passed, 3 failed"


def gone(file):
    """Whether the process whose id is there ends within seconds; one that only waits for init to see it has ended."""
    status = Path(f"/proc/{int(file.read_text())}/stat")
    for _ in range(50):
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_a_stage_ends_with_its_minutes_and_all_it_started(begin, tmp_path):
    run = begin([("molecule", 0.02, "sleep 300 & echo $! > pid; wait", ""), ("unit", 1, "echo done", "")])
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 124
    assert "done" in said.splitlines()
    assert gone(tmp_path / "pid")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_one_that_is_ended_leaves_nothing_behind(begin, tmp_path, number):
    run = begin([(name, 5, f"sleep 300 & echo $! > {name}.tmp; mv {name}.tmp {name}; wait", "") for name in "ab"])
    files = [tmp_path / name for name in "ab"]
    deadline = time.monotonic() + 30
    while not all(file.exists() for file in files) and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(number)
    run.communicate(timeout=30)
    assert run.returncode
    assert all(map(gone, files))
