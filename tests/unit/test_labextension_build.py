# SPDX-License-Identifier: GPL-3.0-or-later
"""The labextensions' build as a job on the LSF double, by the role: a stand-in says and does what JupyterLab 2 would."""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import module_runner
import pytest
from ansible.module_utils.lsf import command_job
from lsf_cluster import until
from role_play import PROJECT, Home

# As much of `jupyter` as the role calls. Files beside it make it wait, or fail.
JUPYTER = """\
#!/bin/sh -e
cd "$(dirname "$0")/.."
case "$1 $2" in
"labextension list")
    echo "JupyterLab v2.3.2"
    echo >> listings
    [ ! -e installed ] || sed 's/\\(.*\\)@\\(.*\\)/        \\1 v\\2 enabled OK/' installed
    [ ! -e installed ] || [ -e built ] || echo "Build recommended, please run jupyter lab build:" >&2 ;;
"labextension install")
    shift 3; printf '%s\\n' "$@" > installed ;;
"lab build")
    echo "$NODE_OPTIONS" >> builds
    while [ -e wait ]; do sleep 0.1; done
    if [ -e broken ]; then echo "building assets"; echo "ValueError: webpack says no" >&2; exit 3; fi
    touch built ;;
"lab clean")
    touch cleaned ;;
esac
"""


class Impatient(Home):
    """Looks at a job for a second. A role's own variables win over the inventory's, so this is no variable of the home's."""

    def ansible(self, *arguments, **variables):
        return super().ansible(*arguments, **{"__dask_build_look": 1, **variables})


@pytest.fixture
def env(tmp_path):
    prefix = tmp_path / "env"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "share/jupyter/lab").mkdir(parents=True)
    for name, text in {"jupyter": JUPYTER, "node": "#!/bin/sh\necho v18.19.0\n"}.items():
        (prefix / "bin" / name).write_text(text)
        (prefix / "bin" / name).chmod(0o755)
    return prefix


@pytest.fixture
def home(lsf, env, tmp_path, monkeypatch):
    for name, value in lsf.env.items():
        monkeypatch.setenv(name, value)
    yield Impatient(
        tmp_path,
        "dask",
        target_env=str(env),
        dask_examples_dir="",
        dask_labextensions={"dask-labextension": "2.0.2"},
        conda_env_build="job",
        conda_env_build_queue="normal",
    )
    lsf.clear()


def builds(env):
    """Node.js's options in each build so far."""
    return (env / "builds").read_text().split() if (env / "builds").exists() else []


def jobs(lsf):
    """All that there have been: their numbers, and what they were."""
    listed = lsf("bjobs", "-a", "-noheader", "-o", "jobid stat queue job_name delimiter='^'").stdout
    return dict(line.split("^", 1) for line in listed.splitlines())


def unfinished(lsf):
    return lsf("bjobs", "-noheader", "-o", "jobid").stdout.split()


def test_the_build_is_a_job_and_happens_once(home, env, lsf):
    assert home.play("--check") > 0
    assert builds(env) == []
    before = jobs(lsf)
    assert home.play() > 0
    assert [job for number, job in jobs(lsf).items() if number not in before] == ["DONE^normal^labextension_build"]
    assert builds(env) == ["--openssl-legacy-provider"]
    assert (env / "cleaned").exists()
    assert [path.name for path in (env / "share/jupyter/lab").rglob("*")] == ["slipway-build", "lock"]
    assert (env / "share/jupyter/lab/slipway-build").stat().st_mode & 0o777 == 0o700
    assert home.play() == 0
    assert len(builds(env)) == 1


def test_where_login_nodes_let_it_it_is_no_job(home, env, lsf):
    before = jobs(lsf)
    home.play(conda_env_build="login")
    assert len(builds(env)) == 1
    assert jobs(lsf) == before


def test_a_builds_own_words_are_the_error_and_the_next_run_tries_again(home, env, lsf):
    (env / "broken").touch()
    done = home.ansible()
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "the build ended with exit code 3" in said
    assert "building assets" in said
    assert "ValueError: webpack says no" in said
    (env / "broken").unlink()
    assert home.play() > 0
    assert len(builds(env)) == 2
    assert home.play() == 0


def test_the_job_of_a_killed_run_is_found_and_watched_and_not_doubled(home, env, lsf):
    (env / "wait").touch()
    killed = subprocess.Popen(home.command, env=home.environment, cwd=PROJECT, start_new_session=True)
    try:
        patiently(lambda: builds(env))
    finally:
        kill_tree(killed.pid)
        killed.wait()
    (job,) = unfinished(lsf)
    assert (env / "installed").exists(), "JupyterLab lists something else by now"

    done = home.ansible(conda_env_timeout=4)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert f"FAILED - RETRYING: [home]: labextension_job | Wait for job {job} (" in said
    assert f"Job {job} has not ended within 4 s; it is RUN, and goes on." in said
    assert unfinished(lsf) == [job]

    listings = (env / "listings").stat().st_size

    def let_it_end():
        patiently(lambda: (env / "listings").stat().st_size > listings)
        (env / "wait").unlink()

    with ThreadPoolExecutor() as meanwhile:
        ending = meanwhile.submit(let_it_end)
        assert home.play() > 0
        ending.result()
    assert len(builds(env)) == 1
    assert home.play() == 0


def test_what_an_old_build_said_is_no_answer(home, env, lsf):
    """A run stopped waiting, the build came to its end, and long after somebody took it away again."""
    (env / "wait").touch()
    assert home.ansible(conda_env_timeout=2).returncode != 0
    (env / "wait").unlink()
    result = env / "share/jupyter/lab/slipway-build/job.rc"
    patiently(result.exists)
    os.utime(result, (0, 0))
    (env / "built").unlink()
    assert home.play() > 0
    assert len(builds(env)) == 2


def patiently(condition):
    """As ``until``, for what a whole run of Ansible has to do first."""
    for _ in range(12):
        try:
            return until(condition)
        except AssertionError:
            continue
    raise AssertionError("waited in vain")


def kill_tree(pid):
    """Ansible's workers have sessions of their own, and what they run would go on looking at the job."""
    below = [child for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    os.kill(int(pid), signal.SIGKILL)
    for child in below:
        kill_tree(child)


def test_a_job_that_waits_is_told_with_lsfs_reason(home, env, lsf):
    theirs = lsf.submit("-q", "interactive", "sleep", "300")
    lsf.reaches(theirs, "RUN")
    done = home.ansible(conda_env_build_queue="interactive", conda_env_timeout=3)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "it is PEND, and goes on. LSF's reason: User has reached the per-user job slot limit" in said
    assert "conda_env_build_queue" in said
    assert builds(env) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conda_env_build_queue": "nosuch"}, "conda_env_build_queue is 'nosuch': LSF has no such queue"),
        ({"conda_env_build_lsf_profile": "/nosuch/profile.lsf"}, "conda_env_build_lsf_profile"),
    ],
)
def test_a_refusal_has_lsfs_words_and_the_variables_name(home, env, lsf, options, words):
    done = home.ansible(**options)
    assert done.returncode != 0
    assert words in " ".join(done.stdout.split())
    assert builds(env) == []
    assert unfinished(lsf) == []


subject = module_runner.load("roles/dask/library/labextension_build.py")


@pytest.fixture
def run(lsf, env, monkeypatch):
    """Starts a run that builds, as the module does, and gives the job as that run knows it."""
    for name, value in lsf.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command_job, "POLL", 0.2)
    monkeypatch.setattr(command_job, "LATE", 2)
    job = {"name": "labextension_build", "queue": "normal", "project": "", "walltime": "", "profile": ""}

    def start(program, prefix=env, **labextensions):
        wanted = {"labextensions": labextensions, "environment": {"PATH": "/usr/bin:/bin"}, "job": job}
        return subject.start(subject.make_folder(prefix), {"command": ["sh", "-c", program], **wanted})

    start.job = job
    yield start
    lsf.clear()


def test_of_two_runs_on_one_job_one_gets_what_it_said_and_both_go_on(run, env):
    one, other = run("echo built"), run("echo built")
    assert one.asked["nonce"] == other.asked["nonce"]
    one.watch(time.monotonic() + 60)
    assert subject.collect(one) == (0, "built\n", "")
    assert not other.ended
    other.watch(time.monotonic() + 60)
    assert other.replaced
    assert subject.collect(other) is None
    again = {"prefix": str(env), "nonce": other.asked["nonce"], "patience": 1, "job": run.job}
    assert subject.look(other.folder, again)["finished"]


def test_a_run_whose_job_died_leaves_its_successor_alone(run, lsf, tmp_path):
    old = run("sleep 300")
    lsf("bkill", old.asked["id"])
    lsf.reaches(old.asked["id"], "EXIT")
    new = run(f"while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo new")
    assert new.asked["nonce"] != old.asked["nonce"]
    old.watch(time.monotonic() + 60)
    assert json.loads(new.read("json") or "{}").get("nonce") == new.asked["nonce"]
    (tmp_path / "go").touch()
    new.watch(time.monotonic() + 60)
    assert subject.collect(new) == (0, "new\n", "")


def test_a_run_that_sees_its_job_die_says_so_and_forgets_it(run, lsf):
    job = run("echo webpack >&2; sleep 300")
    until(lambda: job.read("err"))
    lsf("bkill", job.asked["id"])
    with pytest.raises(subject.LsfError, match="ended before its command did"):
        job.watch(time.monotonic() + 60)
    assert not job.path("json").exists()


def test_a_job_for_other_labextensions_or_one_that_was_to_be_ended_is_not_gone_on_with(run, lsf):
    first = run("sleep 300", a="1")
    second = run("sleep 300", a="2")
    assert unfinished(lsf) == [second.asked["id"]] != [first.asked["id"]]
    second.asked["spoiled"] = True
    second.save()
    third = run("sleep 300", a="2")
    assert unfinished(lsf) == [third.asked["id"]] != [second.asked["id"]]


def test_killed_before_lsfs_answer_came_a_job_that_has_ended_has_no_number_but_a_result(run, env):
    job = run("exit 0")
    job.watch(time.monotonic() + 60)
    asked = json.loads(job.read("json"))
    del asked["id"]
    job.path("json").write_text(json.dumps(asked))
    wanted = {"command": [], "labextensions": {}, "environment": {"PATH": "/usr/bin:/bin"}, "job": run.job}
    found = subject.look(job.folder, {"prefix": str(env), "nonce": "", "patience": 5, **wanted})
    assert (found["finished"], found["rc"], found["job_id"]) == (True, 0, "")


def test_what_jupyterlab_would_still_build_is_an_error(home, env):
    (env / "bin/jupyter").write_text(JUPYTER.replace("touch built", "true"))
    done = home.ansible()
    assert done.returncode != 0
    assert "Build recommended" in done.stdout
    assert "Another run has built there" in " ".join(done.stdout.split())


def revisions(env):
    """Moves the environment behind a link, as role conda_env keeps it; returns where its revisions are."""
    folder = env.parent / ".env.slipway"
    folder.mkdir()
    env.rename(folder / "1")
    env.symlink_to(".env.slipway/1")
    return folder


def test_a_new_revision_ends_the_build_of_the_one_before(run, env, lsf):
    folder = revisions(env)
    old = run("sleep 300")
    theirs = lsf.submit("-J", "labextension_build", "sleep", "300")
    shutil.copytree(folder / "1/bin", folder / "2/bin")
    env.unlink()
    env.symlink_to(".env.slipway/2")
    assert subject.end_all(env, run.job, spared=subject.make_folder(env)) == [old.asked["id"]]
    assert unfinished(lsf) == [theirs]
    new = run("sleep 300")
    assert subject.end_all(env, run.job, spared=new.folder) == []
    assert unfinished(lsf) == [theirs, new.asked["id"]]


def test_the_environment_that_stands_in_for_somebody_elses_is_looked_into_as_well(run, env, lsf):
    ours = run("sleep 300", prefix=f"{env}-slipway")
    gone = {"prefix": str(env), "state": "absent", "job": run.job}
    assert module_runner.run(subject, gone, check=True)["ended"] == [ours.asked["id"]]
    assert unfinished(lsf) == [ours.asked["id"]]
    assert module_runner.run(subject, gone)["ended"] == [ours.asked["id"]]
    assert unfinished(lsf) == []


def test_offboarding_ends_the_build_and_no_other_job(home, env, lsf):
    (env / "wait").touch()
    assert home.ansible(conda_env_timeout=2).returncode != 0
    (ours,) = unfinished(lsf)
    theirs = lsf.submit("-J", "labextension_build", "sleep", "300")
    leave = [{"ansible.builtin.include_role": {"name": "dask", "tasks_from": "remove"}}]
    (home.folder / "play.yml").write_text(json.dumps([{"hosts": "home", "gather_facts": False, "tasks": leave}]))
    assert home.play("--check") > 0
    assert unfinished(lsf) == [ours, theirs]
    assert home.play() > 0
    assert unfinished(lsf) == [theirs]
    assert lsf.field(ours, "stat") == "EXIT"
    assert home.play() == 0
