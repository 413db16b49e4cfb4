"""The command slipway on a login node, placed and run as its user does, on the LSF double; and its way there by the role."""

import json
import socket
import sys

import pytest
from local_ports import free_port
from role_play import Home
from test_session_job import SCRIPT, SERVER

MAIN = "import sys; sys.path.insert(0, {!r}); sys.argv[0] = 'slipway'; from slipway.session.command import main; main({!r})"


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    """What the role places in a home: the folder of the code."""
    made = Home(tmp_path_factory.mktemp("placed"), "session", target_python=sys.executable, target_user="ada")
    play = made.folder / "play.yml"
    play.write_text(
        play.read_text().replace("roles: [session]", "tasks: [{include_role: {name: session, tasks_from: command}}]")
    )
    made.variables = {"target_env": "/env", "target_conda_prefix": "/conda", "target_env_prefix": "/env"}
    return made


@pytest.fixture
def slipway(lsf, placed, tmp_path):
    if not (placed / ".local/bin/slipway").exists():
        placed.play(**placed.variables)
    folder, server = tmp_path / "state", tmp_path / "env/bin/jupyter-lab"
    server.parent.mkdir(parents=True)
    server.write_text(SERVER.format(python=sys.executable))
    server.chmod(0o755)
    settings = json.loads((placed / ".local/share/slipway/settings.json").read_text())
    port = free_port()
    submission = settings["submission"] | {
        "script": SCRIPT.format(python=sys.executable, folder=folder),
        "env_prefix": str(tmp_path / "env"),
        "listen": "127.0.0.1",
        "server_port": port,
    }
    path = tmp_path / "settings.json"
    path.write_text(
        json.dumps(settings | {"folder": str(folder), "submission": submission, "ssh_host": "login.example.edu"})
    )

    def run(*arguments):
        code = MAIN.format(str(placed / ".local/share/slipway"), str(path))
        # -I: as its first line has it, so nothing of this checkout is within reach.
        return lsf(sys.executable, "-I", "-c", code, *arguments, timeout=60)

    run.port, run.settings = port, path
    yield run
    lsf.clear()


def test_start_prints_a_plain_ssh_line_and_status_and_stop_follow(slipway, lsf):
    done = slipway("start", "--wait", "30")
    assert done.returncode == 0, done
    node = socket.gethostname()
    assert f"  ssh -N -L localhost:8890:{node}:{slipway.port} ada@login.example.edu\n" in done.stdout
    (job,) = lsf("bjobs", "-noheader", "-o", "jobid").stdout.split()
    assert f"Job {job} RUN, queue interactive, t037, 6 h 00 min left" in done.stdout

    again = slipway("start")
    assert "The session's job is there already." in again.stdout
    seen = json.loads(slipway("status", "--json").stdout)
    assert (seen["job"]["id"], seen["verdict"]["name"]) == (job, "healthy")
    assert slipway("stop").stdout == f"Job {job} ended.\n"
    assert slipway("stop").stdout == "There is no session to stop.\n"
    assert slipway("status").returncode == 1


def test_on_a_queue_for_interactive_jobs_only_it_tells_where_the_job_hangs(slipway, lsf):
    settings = json.loads(slipway.settings.read_text())
    script = settings["submission"]["script"].replace("-q interactive", "-q typed")
    settings["submission"] |= {"queue": "typed", "script": script}
    slipway.settings.write_text(json.dumps(settings))
    done = slipway("start", "--wait", "30")
    assert done.returncode == 0, done
    (job,) = lsf("bjobs", "-noheader", "-o", "jobid").stdout.split()
    assert f"Job {job} RUN, queue typed, t037, 6 h 00 min left, held on {socket.gethostname()}\n" in done.stdout
    assert slipway("stop").stdout == f"Job {job} ended.\n"


def test_what_is_wrong_is_told_in_words_and_no_traceback(slipway, lsf):
    settings = json.loads(slipway.settings.read_text())
    settings["submission"]["queue"] = "nosuch"
    slipway.settings.write_text(json.dumps(settings))
    done = slipway("start")
    assert done.returncode == 1
    assert "slipway: session_queue is 'nosuch': LSF has no such queue" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_placing_changes_nothing_and_a_file_of_somebody_elses_stays(placed):
    if not (placed / ".local/bin/slipway").exists():
        placed.play(**placed.variables)
    assert placed.play(**placed.variables) == 0
    ours = placed / ".local/bin/slipway"
    assert ours.stat().st_mode & 0o777 == 0o755
    ours.write_text("#!/bin/sh\necho mine\n")
    done = placed.ansible(**placed.variables)
    assert done.returncode == 0, done.stdout
    assert "is not Slipway's and stays as it is" in " ".join(done.stdout.split())
    assert ours.read_text() == "#!/bin/sh\necho mine\n"
    ours.unlink()


#: What stands for jupyter-lab on a node that the login node cannot reach: nobody can connect to a broadcast address.
UNREACHABLE = """#!{python}
import json, pathlib, time
said = pathlib.Path({folder!r}, "session-jupyter.connection")
while True:
    if said.exists() and json.loads(said.read_text())["node"] != "255.255.255.255":
        said.write_text(json.dumps({{**json.loads(said.read_text()), "node": "255.255.255.255", "pid": 0}}))
    time.sleep(0.1)
"""


#: One whose first start can't be reached, as above, and whose next one is slow.
SLOW = """#!{python}
import os, pathlib, sys, time
first = pathlib.Path({folder!r}, "first")
if not first.exists():
    first.touch()
    os.execv({binaries!r} + "/unreachable", ["jupyter-lab"])
time.sleep(12)
os.execv({binaries!r} + "/server", ["jupyter-lab", *sys.argv[1:]])
"""


@pytest.fixture
def run(lsf, tmp_path, monkeypatch):
    """Plays role session where ``programs`` stand for the environment's; returns what was said, and the states of the jobs it made."""
    for name, value in lsf.env.items():
        monkeypatch.setenv(name, value)
    binaries, folder = tmp_path / "env/bin", tmp_path / "state"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    home = Home(tmp_path, "session", target_python=sys.executable, target_user="ada")
    given = {"target_env": str(tmp_path / "env"), "target_conda_prefix": "/conda", "session_folder": str(folder)}

    def states():
        return lsf("bjobs", "-a", "-noheader", "-o", "stat").stdout.split()

    def play(programs, **variables):
        for name, code in programs.items():
            (binaries / name).write_text(code.format(python=sys.executable, folder=str(folder), binaries=str(binaries)))
            (binaries / name).chmod(0o755)
        before = states()
        done = home.ansible(**given, session_resubmit=True, __session_look=3, **variables)
        assert done.returncode != 0, done.stdout
        return " ".join(done.stdout.split()), states()[len(before) :]

    yield play
    lsf.clear()


def test_a_new_job_that_is_slow_to_serve_is_waited_for_and_not_replaced(run):
    # There is no login node: the way ends at the tunnel, once the server listens.
    said, jobs = run(
        {"jupyter-lab": SLOW, "unreachable": UNREACHABLE, "server": SERVER},
        session_ssh_host="127.0.0.1",
        session_ssh_port=1,
        session_listen="127.0.0.1",
        session_server_port=free_port(),
        session_wait=120,
    )
    assert "could not open the tunnel" in said, said
    assert jobs == ["EXIT", "RUN"]


def test_a_run_whose_new_job_does_not_serve_either_fails(run):
    said, jobs = run({"jupyter-lab": UNREACHABLE}, session_ssh_host="login.example.edu")
    assert "the new one, does not serve either: the job's host is lost" in said, said
    assert jobs == ["EXIT", "RUN"]


def test_a_text_that_says_false_is_false(tmp_path):
    """As of `-e session_enabled=false`."""
    home = Home(tmp_path, "session", target_python=sys.executable, target_user="ada", target_env="/env")
    assert home.play("-e", "session_enabled=false") == 0
    assert not (home / ".local").exists()
