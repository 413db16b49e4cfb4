# SPDX-License-Identifier: GPL-3.0-or-later
"""The labextensions' build as a job on the LSF double, by the role: a stand-in says and does what JupyterLab 2 would."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
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
    [ ! -e built ] || sed 's/\\(.*\\)@\\(.*\\)/        \\1 v\\2 enabled OK/' installed ;;
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
    yield Home(
        tmp_path,
        "dask",
        target_env=str(env),
        dask_examples_dir="",
        dask_labextensions={"dask-labextension": "2.0.2"},
        conda_env_build="job",
        conda_env_build_queue="normal",
        __dask_build_look=1,
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
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "-i",
        home.folder / "hosts.yml",
        home.folder / "play.yml",
    ]
    environment = {
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "ANSIBLE_ROLES_PATH": f"{home.folder}/roles:{PROJECT}/roles",
        "ANSIBLE_REMOTE_TEMP": str(home.folder / "tmp"),
    }
    killed = subprocess.Popen(
        command, env={**lsf.env, **environment, "HOME": str(home.path)}, cwd=PROJECT, start_new_session=True
    )
    try:
        patiently(lambda: builds(env))
    finally:
        signal_group(killed)
    (job,) = unfinished(lsf)

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


def signal_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
