"""One call of a command: its outputs, its deadline, and what it leaves behind."""

import os
import subprocess
import time

import pytest
from ansible.module_utils.lsf import command

ENV = {"PATH": "/usr/bin:/bin"}


def shell(script, stdin=b"", timeout=10):
    started = time.monotonic()
    return (*command.call(["/bin/sh", "-c", script], stdin, ENV, timeout), time.monotonic() - started)


def alive(pid):
    stat = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    return bool(stat.strip()) and "Z" not in stat


def test_input_and_both_outputs_and_the_exit_code():
    big = b"x" * 200_000
    code, out, err, late, _ = shell("cat; echo oops >&2; exit 3", big)
    assert (code, out, err, late) == (3, big, b"oops\n", False)


def test_a_command_that_reads_no_input_does_no_harm():
    assert shell("exec <&-; echo done", b"x" * 200_000)[:2] == (0, b"done\n")


def test_the_deadline_ends_the_command_and_what_it_started_and_its_words_are_kept():
    _, out, err, late, took = shell("sleep 77 & echo $!; echo 'still trying' >&2; wait", timeout=1.5)
    assert (late, err) == (True, b"still trying\n")
    assert took < 8
    assert not alive(out.decode().strip())


def test_what_outlives_a_command_that_ended_is_neither_waited_for_nor_ended():
    code, out, _, late, took = shell("sleep 77 & echo $!; exit 4", timeout=60)
    pid = out.decode().strip()
    assert (code, late, alive(pid)) == (4, False, True)
    os.kill(int(pid), 9)
    assert took < 15


def test_a_command_that_closes_its_outputs_and_goes_on_is_still_within_its_deadline():
    assert shell("echo 'still trying' >&2; exec >&- 2>&-; sleep 77", timeout=1.5)[2:4] == (b"still trying\n", True)
    assert shell("exec >&- 2>&-; sleep 1.2; exit 5", timeout=30)[0] == 5


def test_a_command_that_is_none_is_an_error():
    with pytest.raises(OSError, match="nosuch"):
        command.call(["/nosuch"], b"", ENV, 5)
