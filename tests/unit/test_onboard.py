# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/onboard without a cluster: events in, outcomes, pictures and reports out; what it refuses. Real runs are molecule/onboard's."""

import doctest
import io
import json
import os
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from rich.console import Console

PROJECT = Path(__file__).parents[2]
sys.path.append(str(PROJECT / "scripts"))
from onboarding import live, report, runs  # noqa: E402
from onboarding.cohort import Cohort  # noqa: E402

HOSTS = {"lake-ada": "ada", "lake-bob": "bob", "lake-eve": "eve"}


class Events:
    """Events as ansible-runner has them, one a second."""

    def __init__(self, cohort):
        self.cohort, self.seconds = cohort, count()

    def __call__(self, kind, host="", play="Onboard", task="do", role="dask", res=None, **more):
        data = {"host": host, "play": play, "task": task, "role": role, "res": res or {}, **more}
        if kind != "runner_on_start":
            data["duration"] = 0.5
        created = f"2026-11-25T22:00:{next(self.seconds):02}.000000+00:00"
        return self.cohort.take({"event": kind, "created": created, "event_data": data})


@pytest.fixture
def cohort():
    return Cohort(HOSTS)


@pytest.fixture
def event(cohort):
    return Events(cohort)


def outcomes(cohort):
    return {member.name: member.outcome for member in cohort.members.values()}


def test_a_user_is_done_at_the_end_of_their_play(cohort, event):
    event("runner_on_start", "lake-ada")
    event("runner_on_ok", "lake-ada", res={"changed": True})
    event("runner_on_ok", "lake-ada", res={"changed": False})
    settled = event("runner_on_ok", "lake-ada", task="Welcome", res={"msg": ["ada, it works"]})
    assert settled is cohort.members["lake-ada"]
    assert (settled.outcome, settled.changed, settled.welcome) == ("done", 1, ["ada, it works"])
    assert (settled.begun, settled.ended, settled.seconds, settled.stages) == (0, 3, 1.5, {"dask": 1.5})
    assert not cohort.complete


def test_a_failure_is_kept_in_the_tasks_own_words(cohort, event):
    settled = event("runner_on_failed", "lake-bob", task="Ask", role="preflight", res={"msg": " no home\n"})
    assert (settled.outcome, settled.stage, settled.task, settled.words) == ("failed", "preflight", "Ask", "no home")


def test_what_is_ignored_is_no_failure(cohort, event):
    assert event("runner_on_failed", "lake-bob", res={"msg": "timed out"}, ignore_errors=True) is None
    event("runner_on_ok", "lake-bob", task="Welcome")
    assert outcomes(cohort)["bob"] == "done"


def test_the_last_words_of_one_who_cannot_be_reached_are_those_that_say_what_to_do(cohort, event):
    event("runner_on_unreachable", "lake-bob", res={"msg": "ssh: 255"})
    event("runner_on_failed", "lake-bob", res={"msg": "correct ansible_host"})
    assert cohort.members["lake-bob"].words == "correct ansible_host"


def test_whom_a_stopped_run_has_not_begun_is_no_failure(cohort, event):
    event("runner_on_failed", "lake-ada", res={"msg": "no home"})
    event(
        "runner_on_failed",
        "lake-bob",
        task="Stop after too many failures",
        res={"msg": "Not begun: 1 have failed before"},
    )
    event("runner_on_start", "lake-eve", play="Share", role="shared")
    cohort.break_off()
    assert outcomes(cohort) == {"ada": "failed", "bob": "stopped", "eve": "stopped"}
    assert cohort.members["lake-eve"].words == "The run ended before."
    assert [cohort.count(outcome) for outcome in ("done", "failed", "stopped")] == [0, 1, 2]


def test_the_playbook_says_so_in_the_words_that_are_looked_for():
    play = (PROJECT / "playbooks/onboard.yml").read_text()
    assert " Not begun: " in play
    assert "- name: Welcome\n" in play
    assert "- name: Onboard\n" in play
    assert "- name: Offboard\n" in (PROJECT / "playbooks/offboard.yml").read_text()
    assert "- name: Smoke\n" in (PROJECT / "playbooks/smoke.yml").read_text()


def test_a_failure_before_anybodys_home_is_one_of_theirs(cohort, event):
    event("runner_on_failed", "lake-ada", play="Share", role="conda_env", res={"msg": "no packages"})
    event("runner_on_failed", "lake-slipway", play="Validate", res={"msg": "a bad variable"})
    assert cohort.members["lake-ada"].outcome == "failed"
    assert cohort.others == {"lake-slipway": "a bad variable"}


def test_without_a_last_task_the_end_of_the_run_settles_it():
    cohort = Cohort(HOSTS, last="")
    event = Events(cohort)
    event("runner_on_ok", "lake-ada")
    event("runner_on_failed", "lake-bob", res={"msg": "no"})
    event("playbook_on_stats", processed={"lake-ada": 1, "lake-bob": 1, "lake-eve": 1})
    cohort.break_off()
    assert outcomes(cohort) == {"ada": "done", "bob": "failed", "eve": "stopped"}


@pytest.fixture
def ended(cohort, event):
    event("runner_on_start", "lake-ada")
    event("runner_on_ok", "lake-ada", task="Welcome", res={"msg": ["hello"]})
    event("runner_on_failed", "lake-bob", res={"msg": "<script>alert('no & no')</script>"})
    cohort.break_off()
    return cohort


def seen(cohort, terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, highlight=False)
    clock = count(0, 30)
    with live.View(console, cohort, clock=lambda: next(clock)) as view:
        view.settled(cohort.members["lake-ada"])
        view.rest()
    return out.getvalue()


def test_on_a_terminal_the_cohort_is_seen_as_it_stands(ended):
    said = seen(ended, terminal=True)
    for words in ("3 of 3", "1 done", "1 failed", "1 stopped", "users a minute", "0:00 left", "<script>"):
        assert words in said


def test_without_one_each_user_is_a_line(ended, capsys):
    assert seen(ended, terminal=False).strip() == ""
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["ada", "bob", "eve"]
    assert lines == [
        "ada: done in 0 s, nothing to do",
        "bob: failed in 0 s at dask: <script>alert('no & no')</script>",
        "eve: stopped at waiting: The run ended before.",
    ]


def test_the_report_stands_alone_and_shows_words_as_words(ended):
    found = report.result(ended, "not all done", 3.0, what="onboard", file="autumn.yml", run="now")
    assert json.loads(json.dumps(found)) == found
    page = report.html(found)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;no &amp; no&#39;)&lt;/script&gt;" in page
    assert "http" not in page
    plot = ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    assert [bar.get("class") for bar in plot.iter("rect")] == ["done", "failed"]
    assert all(0 <= float(bar.get("x")) + float(bar.get("width")) <= 1000 for bar in plot.iter("rect"))


def test_a_report_of_nobody_that_was_begun_is_one_too(cohort):
    cohort.break_off()
    assert "3 stopped" in report.html(report.result(cohort, "interrupted", 0.1, what="onboard", file="x", run="now"))


def test_runs_are_kept_for_the_team_alone_and_listed(ended, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    first, second, third = (runs.Run.begin(what="onboard", file=f"{number}.yml") for number in range(3))
    assert len({first.name, second.name, third.name}) == 3
    assert first.folder.stat().st_mode & 0o777 == 0o700
    said = first.private / "artifacts/1/stdout"
    said.parent.mkdir(parents=True)
    said.write_text("PLAY")
    first.end(report.result(ended, "not all done", 3.0))
    third.write("asked.json", {"pid": None, "what": "onboard", "file": "2.yml"})
    assert (first.folder / "ansible.log").read_text() == "PLAY"
    assert not first.private.exists()
    rows = {row[0]: row[2:] for row in runs.listed()}
    assert rows == {
        first.name: ["0.yml", "1", "1", "1", "not all done"],
        second.name: ["1.yml", "", "", "", "runs"],
        third.name: ["2.yml", "", "", "", "broke off"],
    }


@pytest.mark.parametrize("module", [live, report])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.fixture
def onboard(tmp_path):
    """Runs the script on a site of the test's own; nothing of it is ever connected to."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/users.slipway.yml").write_text("{plugin: slipway_users, group: cluster}")
    (tmp_path / "users.yml").write_text("- {name: ada}\n- {name: eve, state: absent}\n")

    def run(*arguments, answer=""):
        return subprocess.run(
            [sys.executable, PROJECT / "scripts/onboard", *arguments],
            cwd=tmp_path,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch.yml", "-i", "site/users.slipway.yml"], "No such file"),
        (["users.yml", "-i", "site/nosuch.slipway.yml"], "no such source; -i inventory/<site>/users.slipway.yml names one"),
        (["bad.yml", "-i", "site/users.slipway.yml"], "2 problems in bad.yml; nothing was done:\nline 1: .*\nline 2: "),
        (["users.yml", "-i", "site/own.slipway.yml"], "names other.yml itself; take `users` out of it"),
        (["users.yml", "-i", "site/users.slipway.yml", "--only", "ada,bob"], "--only bob: not in users.yml"),
        (["users.yml", "-i", "site/users.slipway.yml", "--only", "eve"], "nobody of --only with state: present"),
        (["users.yml", "-i", "site/users.slipway.yml", "--offboard"], "the answer was None, and they are 1.*--yes 1"),
        (["users.yml", "-i", "site/users.slipway.yml", "--offboard", "--yes", "2"], "the answer was 2, and they are 1"),
        ([], "which users file"),
        (["users.yml", "--batch", "0"], "--batch must be at least 1"),
    ],
)  # fmt: skip
def test_what_is_refused_has_done_nothing(onboard, tmp_path, arguments, said):
    (tmp_path / "bad.yml").write_text("- {name: Ada L}\n- {name: bob, nam: x}\n")
    (tmp_path / "site/own.slipway.yml").write_text("{plugin: slipway_users, group: cluster, users: other.yml}")
    done = onboard(*arguments)
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
    assert not (tmp_path / "state").exists()


def test_what_ansible_itself_refuses_is_told_in_its_words(onboard, tmp_path):
    (tmp_path / "site/inside.yml").write_text("- {name: ada}\n")
    done = onboard("site/inside.yml", "-i", "site/users.slipway.yml")
    assert done.returncode == 2
    assert "inside.yml lies in the inventory's folder" in " ".join(done.stderr.split())
    assert "\x1b" not in done.stderr


@pytest.fixture
def handed(monkeypatch, tmp_path):
    """What ansible-runner is handed for some arguments; it connects to nothing."""
    script = SourceFileLoader("onboard_script", str(PROJECT / "scripts/onboard"))
    module = module_from_spec(spec_from_loader(script.name, script))
    script.exec_module(module)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "site").mkdir()
    source = tmp_path / "site/users.slipway.yml"
    source.write_text("{plugin: slipway_users, group: cluster, builder: slipway, prefix: /software/conda}")
    users = tmp_path / "users.yml"
    users.write_text("- {name: ada, profile: tutorial}\n- {name: bob}\n- {name: eve, state: absent}\n")

    def run(*arguments):
        given = {}

        def kept(**settings):
            given.update(settings)
            return SimpleNamespace(status="failed")

        monkeypatch.setattr(module.ansible_runner, "run", kept)
        monkeypatch.setattr(sys, "argv", ["onboard", str(users), "-i", str(source), *arguments])
        module.main()
        return given

    return run


def test_host_keys_are_checked(handed):
    """ansible-runner turns that off where the environment does not say, over ansible.cfg."""
    assert handed()["envvars"]["ANSIBLE_HOST_KEY_CHECKING"] == "True"


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ([], None),
        (["--only", "ada"], "site-ada,site-slipway"),
        (["--only", "ada", "--smoke"], "site-ada"),
        (["--smoke"], "site-ada,site-bob"),
        (["--offboard", "--yes", "1"], "site-eve"),
    ],
)
def test_the_builder_is_in_every_run_that_prepares_homes(handed, arguments, limit):
    assert handed(*arguments)["limit"] == limit


def test_a_dry_run_comes_to_everybody_at_once(handed):
    assert '"onboard_serial": [1, 8], "onboard_stop_after": 5' in handed()["cmdline"]
    dry = handed("--check")["cmdline"]
    assert '"onboard_serial": ["100%"], "onboard_stop_after": 0' in dry
    assert dry.endswith(" --check --diff")


def test_the_default_source_is_the_projects_wherever_it_is_run(onboard):
    said = onboard("--help").stdout
    assert str(PROJECT / "inventory") in said


def test_the_list_of_runs_may_be_empty(onboard):
    done = onboard("--list")
    assert done.returncode == 0
    assert "users file" in done.stdout
