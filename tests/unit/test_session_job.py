"""The session's job on the LSF double: adopted, never doubled, ended by id; and what a person is told when it fails."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import module_runner
import pytest
from ansible.module_utils.lsf import client
from ansible.module_utils.session import SessionError, launcher
from ansible.module_utils.session import held as session_held
from ansible.module_utils.session import job as session_job
from ansible.module_utils.session.record import Record
from local_ports import free_port
from lsf_cluster import running, until

SCRIPT = """#!/bin/sh
#BSUB -J jupyter
#BSUB -q interactive
#BSUB -W 6:00
exec {python} {folder}/session-jupyter.launch.py {folder}/session-jupyter.json
"""
#: What stands for jupyter-lab: it listens where the launcher tells it, and answers as a server does.
SERVER = """#!{python}
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
options = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{{"version": "2.0.0"}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("serving", sys.argv[1:], flush=True)
ThreadingHTTPServer((options["ip"], int(options["port"])), Handler).serve_forever()
"""


@pytest.fixture
def job(lsf, tmp_path, monkeypatch):
    """Calls the module as the playbook does."""
    yield caller(lsf, tmp_path, monkeypatch)
    lsf.clear()


def caller(lsf, tmp_path, monkeypatch):
    for name, value in lsf.env.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "env/bin").mkdir(parents=True)
    server = tmp_path / "env/bin/jupyter-lab"
    server.write_text(SERVER.format(python=sys.executable))
    server.chmod(0o755)
    module = module_runner.load("roles/session/library/session_job.py")
    folder = tmp_path / "state"
    port = free_port()

    def run(*, check=False, **changes):
        arguments = {
            "name": "jupyter",
            "folder": str(folder),
            "queue": "interactive",
            "env_prefix": str(tmp_path / "env"),
            "script": SCRIPT.format(python=sys.executable, folder=folder),
            "listen": "127.0.0.1",
            "server_port": port,
            "patience": 20,
            **changes,
        }
        return module_runner.run(module, arguments, check=check)

    run.folder, run.port = folder, port
    return run


def unfinished(lsf):
    return lsf("bjobs", "-noheader", "-o", "jobid").stdout.split()


def test_from_nothing_to_a_node_and_a_port(job, lsf):
    done = job()
    assert done["changed"]
    assert done["ready"]
    assert (done["job"]["stat"], done["job"]["host"], done["job"]["queue"]) == ("RUN", "t037", "interactive")
    assert done["connection"]["port"] == job.port
    assert done["connection"]["job_id"] == done["job"]["id"]


def test_a_start_is_noticed_by_what_the_job_itself_says(job, monkeypatch):
    """LSF does not show it at first, and is asked so seldom that nobody would hear of it from there."""
    shown, asked = client.Lsf.job, []

    def late(lsf, job_id):
        asked.append(job_id)
        return shown(lsf, job_id) if len(asked) > 1 else None

    monkeypatch.setattr(client.Lsf, "job", late)
    monkeypatch.setattr(session_job, "POLL", 3600)
    assert job(patience=60)["ready"]


def test_all_that_a_session_leaves_is_readable_by_its_owner_alone(job):
    job()
    assert {path.stat().st_mode & 0o777 for path in job.folder.iterdir()} == {0o600}


def test_what_is_left_of_the_run_limit_is_known(job):
    assert job(walltime="0:02")["minutes_left"] == 2
    assert job()["minutes_left"] == 2
    begun = job.folder / "session-jupyter.started"
    for seconds, left in ((100, 1), (150, 0)):
        os.utime(begun, times=(time.time() - seconds, time.time() - seconds))
        assert job()["minutes_left"] == left


@pytest.mark.fault(18)
def test_a_second_run_adopts_the_job(job, lsf):
    first, second = job(), job()
    assert not second["changed"]
    assert second["adopted"]
    assert second["job"]["id"] == first["job"]["id"]
    assert unfinished(lsf) == [first["job"]["id"]]


def test_no_secret_is_in_the_result_or_in_what_others_see(job, lsf):
    done = job()
    token = (job.folder / "session-jupyter.token").read_text()
    assert token not in json.dumps(done)
    assert token not in subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert token not in lsf("bjobs", "-o", "command job_description delimiter='^'").stdout


@pytest.mark.fault(28)
def test_killed_between_bsub_and_the_record_the_next_run_finds_the_job(job, lsf):
    first = job()
    record = job.folder / "session-jupyter.json"
    intent = {key: value for key, value in json.loads(record.read_text()).items() if key != "job_id"}
    record.write_text(json.dumps(intent))
    second = job()
    assert second["adopted"]
    assert second["job"]["id"] == first["job"]["id"]
    assert unfinished(lsf) == [first["job"]["id"]]


@pytest.mark.fault(27)
def test_a_record_whose_id_is_another_jobs_now_does_not_adopt_that_job(job, lsf):
    theirs = lsf.submit("-J", "jupyter", "-q", "normal", "sleep", "300")
    job.folder.mkdir(parents=True)
    stale = {"nonce": "0123456789abcdef", "job_id": theirs}
    (job.folder / "session-jupyter.json").write_text(json.dumps(stale))
    done = job()
    assert done["job"]["id"] != theirs
    assert sorted(unfinished(lsf)) == sorted([theirs, done["job"]["id"]])


@pytest.mark.fault(38)
def test_someones_own_job_in_the_one_job_queue_is_left_alone_and_named_as_the_reason(job, lsf):
    theirs = lsf.submit("-J", "jupyter", "-q", "interactive", "sleep", "300")
    done = job(patience=3)
    assert not done["ready"]
    assert (done["job"]["stat"], done["job"]["meaning"]) == ("PEND", "waiting")
    assert "per-user job slot limit" in done["job"]["pend_reason"]
    assert [(other["id"], other["name"], other["stat"]) for other in done["others"]] == [(theirs, "jupyter", "RUN")]
    assert theirs in unfinished(lsf)


def test_check_mode_submits_nothing_and_shows_the_script(job, lsf):
    done = job(check=True)
    assert done["changed"]
    assert "#BSUB -q interactive" in done["diff"]["after"]
    assert unfinished(lsf) == []
    assert not job.folder.exists() or not list(job.folder.glob("*.json"))


def test_an_unknown_queue_is_refused_with_the_ones_there_are(job):
    done = job(queue="nosuch")
    assert done["failed"]
    assert "session_queue is 'nosuch': LSF has no such queue; it has batchonly, brief, interactive" in done["msg"]


def test_lsfs_own_words_reach_the_user(job):
    done = job(script="#!/bin/sh\n#BSUB -q interactive\n#BSUB -n 1000\ntrue\n")
    assert done["failed"]
    assert "Too many processors requested" in done["msg"]


def test_a_job_that_ends_early_tells_what_the_server_said(job, tmp_path):
    (tmp_path / "env/bin/jupyter-lab").write_text("#!/bin/sh\necho 'no module named jupyterlab' >&2; exit 1\n")
    done = job()
    assert done["failed"]
    assert "ended before its server listened" in done["msg"]
    assert "no module named jupyterlab" in done["msg"]
    assert "session-jupyter.server.log on the cluster" in done["msg"]


def test_the_words_of_an_earlier_session_are_not_taken_for_this_ones(job, tmp_path):
    (tmp_path / "env/bin/jupyter-lab").write_text("#!/bin/sh\necho yesterday >&2; exit 1\n")
    job()
    done = job(script="#!/bin/sh\n#BSUB -q interactive\necho today >&2\n")
    assert done["failed"]
    assert "yesterday" not in done["msg"]


def test_a_job_of_an_earlier_session_does_not_speak_for_this_one(job, lsf):
    done = job()
    script = SCRIPT.format(python=sys.executable, folder=job.folder).replace("interactive", "normal")
    orphan = lsf.submit(stdin=script)
    lsf.reaches(orphan, "EXIT")
    said = json.loads((job.folder / "session-jupyter.connection").read_text())
    assert (said["job_id"], said["pid"]) == (done["job"]["id"], done["connection"]["pid"])
    assert job()["job"]["id"] == done["job"]["id"]


def test_two_sessions_that_start_together_on_one_node_take_two_ports(job, tmp_path):
    """Their servers bind seconds after the choice: until then the choice itself is held."""
    first, second = (launcher.take_port("127.0.0.1", job.port) for _ in range(2))
    assert first == job.port
    assert second not in (job.port, 0)


@pytest.mark.fault(12)
def test_a_taken_port_gives_way_to_a_free_one(job):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert job(server_port=port)["connection"]["port"] not in (port, 0)


def test_a_record_that_another_run_wrote_meanwhile_counts(job, lsf, tmp_path):
    """Both read nothing; the second gets the lock after the first has submitted."""
    late = Record(job.folder, "jupyter")
    first = job()
    with late.locked():
        assert late.data["job_id"] == first["job"]["id"]


@pytest.mark.fault(29)
def test_each_command_of_lsf_renews_the_lease_and_none_is_given_without_it(job, lsf):
    job()
    session = session_job.SessionJob(job.folder, "jupyter")
    lease = job.folder / "session-jupyter.lease"
    with pytest.raises(SessionError, match="another run has taken the session 'jupyter' over"), session.record.locked():
        os.utime(lease, (0, 0))
        session.lsf.jobs()
        assert time.time() - lease.stat().st_mtime < 60
        lease.write_text(json.dumps({"host": "login2", "pid": 1, "run": "another"}))
        session.end()
    assert unfinished(lsf) == [session.record.data["job_id"]]
    assert json.loads(lease.read_text())["host"] == "login2"
    lease.unlink()


def test_stop_ends_the_job_by_its_id_and_no_other(job, lsf):
    theirs = lsf.submit("-J", "jupyter", "-q", "normal", "sleep", "300")
    job()
    done = job(state="stopped")
    assert done["changed"]
    assert unfinished(lsf) == [theirs]
    assert not (job.folder / "session-jupyter.token").exists()
    assert not job(state="stopped")["changed"]


def test_a_job_that_one_listing_lacks_is_ended_all_the_same(job, lsf):
    ours = job()["job"]["id"]
    lsf.fault("missing", "on", f"job={ours}", "times=1")
    assert session_job.SessionJob(job.folder, "jupyter").end() == [ours]
    assert unfinished(lsf) == []


def test_a_session_whose_job_lsf_does_not_end_is_not_forgotten(job, lsf):
    """Not even where its host is lost: it may come back, with the job."""
    ours = job()["job"]["id"]
    lsf.fault("unknown", "on", "host=t037")
    lsf.reaches(ours, "UNKWN")
    lsf.fault("refuse", "on", "command=bkill", "text=Failed in an LSF library call")
    done = job(state="stopped")
    assert done["failed"]
    assert "Failed in an LSF library call" in done["msg"]
    assert json.loads((job.folder / "session-jupyter.json").read_text())["job_id"] == ours


def test_a_job_that_bjobs_does_not_show_yet_waits(job, lsf):
    lsf.fault("missing", "on")
    done = job(patience=0)
    assert (done["job"]["stat"], done["verdict"]["name"], done["verdict"]["rung"]) == ("PEND", "waiting", "wait")
    lsf.fault("off")
    assert job()["job"]["id"] == done["job"]["id"]


def test_one_failed_connection_is_looked_at_again(job):
    job()
    said = job.folder / "session-jupyter.connection"
    # Until it listens the launcher looks often, and could write in between.
    until(lambda: json.loads(said.read_text())["listens"])
    words = said.read_text()
    # Nobody can connect to a broadcast address; with another process's number the launcher does not take it for its own words. At
    # once, since half-written ones it would write anew.
    elsewhere = job.folder / "elsewhere"
    elsewhere.write_text(json.dumps({**json.loads(words), "node": "255.255.255.255", "pid": 0}))
    elsewhere.replace(said)
    assert job(patience=0)["evidence"]["server"] == "unreachable"
    threading.Timer(1, said.write_text, [words]).start()
    assert job()["ready"]


def test_after_a_stop_there_is_a_new_session_with_a_new_token(job):
    first = job()
    token = (job.folder / "session-jupyter.token").read_text()
    job(state="stopped")
    second = job()
    assert second["job"]["id"] != first["job"]["id"]
    assert (job.folder / "session-jupyter.token").read_text() != token


@pytest.mark.fault(10)
def test_a_server_that_died_with_its_job_is_started_anew(job, lsf):
    first = job()
    os.kill(first["connection"]["pid"], signal.SIGKILL)
    until(lambda: first["job"]["id"] not in unfinished(lsf))
    second = job()
    assert second["changed"]
    assert second["ready"]
    assert second["job"]["id"] != first["job"]["id"]


#: A site whose job outlives what it runs, as a job starter's may.
SURVIVING = SCRIPT.replace("exec ", "").rstrip() + "\nsleep 300\n"


@pytest.mark.fault(10)
@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("signal_number", "verdict"), [(signal.SIGKILL, "server-dead"), (signal.SIGSTOP, "server-hung")]
)
def test_a_dead_or_hung_server_in_a_live_job_is_told_and_the_job_kept(job, lsf, monkeypatch, signal_number, verdict):
    monkeypatch.setattr(session_job, "ANSWER", 1)
    script = SURVIVING.format(python=sys.executable, folder=job.folder)
    first = job(script=script)
    assert (first["verdict"]["name"], first["verdict"]["state"]) == ("healthy", "live")
    os.kill(first["connection"]["pid"], signal_number)
    second = job(script=script, patience=4)
    assert (second["verdict"]["name"], second["verdict"]["rung"]) == (verdict, "resubmit")
    assert not second["ready"]
    assert not second["changed"]
    assert "session_resubmit=true" in second["verdict"]["words"]
    assert unfinished(lsf) == [first["job"]["id"]]
    third = job(script=script, state="restarted")
    assert third["changed"] and third["ready"]
    assert unfinished(lsf) == [third["job"]["id"]] != [first["job"]["id"]]


def test_restarting_ends_no_job_but_the_sessions(job, lsf):
    theirs = lsf.submit("-J", "jupyter", "-q", "normal", "sleep", "300")
    first = job()
    second = job(state="restarted")
    assert sorted(unfinished(lsf)) == sorted([theirs, second["job"]["id"]])
    assert first["job"]["id"] != second["job"]["id"]


@pytest.mark.fault(5)
def test_a_host_that_lsf_lost_is_told_and_its_job_kept(tmp_path, monkeypatch):
    with running(tmp_path / "cluster", unknown_after=1) as lsf:
        job = caller(lsf, tmp_path, monkeypatch)
        first = job()
        lsf.stop("t037")
        lsf.reaches(first["job"]["id"], "UNKWN")
        second = job(patience=3)
        assert (second["verdict"]["name"], second["verdict"]["rung"]) == ("host-lost", "resubmit")
        assert not second["changed"]
        lsf.start("t037")
        lsf.reaches(first["job"]["id"], "RUN")
        third = job()
        assert third["ready"]
        assert third["job"]["id"] == first["job"]["id"]


@pytest.mark.fault(7)
def test_a_requeued_jobs_old_words_do_not_count(job):
    """The same id, another host: until its launcher speaks again, nobody knows the port."""
    job()
    said = job.folder / "session-jupyter.connection"
    said.write_text(json.dumps({**json.loads(said.read_text()), "host": "t001"}))
    done = job(patience=0)
    assert done["connection"] == {}
    assert (done["verdict"]["name"], done["verdict"]["rung"]) == ("starting", "wait")


@pytest.mark.fault(35)
def test_half_written_words_are_made_good_by_the_job_and_those_of_others_left_alone(job):
    first = job()
    said = job.folder / "session-jupyter.connection"
    said.write_text(said.read_text()[:40])
    # The server may answer before its launcher has said that it listens.
    assert {**job()["connection"], "listens": True} == {**first["connection"], "listens": True}
    for words in ('{"nonce": "another"}', None):
        said.write_text(words) if words else said.unlink()
        time.sleep(2 * launcher.POLL)
        assert (said.read_text() if words else said.exists()) == (words or False)


@pytest.mark.fault(26)
def test_a_lost_record_is_made_anew_from_what_the_job_says(job, lsf):
    first = job()
    (job.folder / "session-jupyter.json").unlink()
    second = job()
    assert second["adopted"]
    assert second["job"]["id"] == first["job"]["id"]
    assert unfinished(lsf) == [first["job"]["id"]]


@pytest.mark.fault(31)
def test_the_login_host_that_submitted_stays_in_the_record(job, monkeypatch):
    first = job()
    monkeypatch.setattr(socket, "gethostname", lambda: "login2")
    second = job()
    assert second["adopted"]
    assert (second["login_host"], second["here"]) == (first["login_host"], "login2")


def test_two_sessions_live_side_by_side(job, lsf):
    """One in the queue for notebooks, one in another: their files, ports and jobs are apart, and one's end is not the other's."""
    first = job()
    other = SCRIPT.format(python=sys.executable, folder=job.folder)
    other = other.replace("session-jupyter", "session-big").replace("interactive", "normal")
    second = job(name="big", queue="normal", script=other)
    assert second["ready"]
    assert second["connection"]["port"] != first["connection"]["port"]
    job(name="big", queue="normal", script=other, state="stopped")
    assert unfinished(lsf) == [first["job"]["id"]]


@pytest.fixture
def typed(job):
    """Arguments for the queue that takes interactive jobs only."""
    script = SCRIPT.format(python=sys.executable, folder=job.folder).replace("-q interactive", "-q typed")
    return {"queue": "typed", "script": script}


def processes():
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,ppid,tty,args"], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def held():
    """What keeps an interactive job: its bsub, and the holder of that."""
    return [line for line in processes() if "bsub -Is -Jd slipway jupyter" in line]


def test_a_queue_for_interactive_jobs_only_gets_one_that_no_terminal_can_end(job, lsf, typed):
    done = job(**typed)
    assert done["ready"], done
    assert (done["job"]["stat"], done["job"]["queue"], done["kind"]) == ("RUN", "typed", "interactive")
    assert done["diff"]["after"].startswith("bsub -Is -Jd 'slipway jupyter ")
    # Its bsub is nobody's child here, and has a terminal of its own.
    (bsub,) = (line for line in held() if "holder.py" not in line)
    parent, terminal = bsub.split()[1:3]
    assert os.getpid() != int(parent)
    assert terminal.startswith("pts/")
    assert job(**typed)["adopted"]
    job(**typed, state="stopped")
    assert unfinished(lsf) == []
    until(lambda: not held())


def test_check_mode_shows_which_form_of_bsub_the_queue_gets(job, typed):
    batch, interactive = job(check=True)["diff"], job(**typed, check=True)["diff"]
    assert batch["after_header"].endswith("bsub < script")
    assert "#BSUB -q interactive" in batch["after"]
    assert interactive["after_header"].endswith("bsub -Is")
    assert interactive["after"].startswith("bsub -Is -Jd 'slipway jupyter NONCE' -J jupyter -q typed -W 6:00 ")


def test_a_queue_that_says_nothing_of_interactive_jobs_gets_a_batch_job(job):
    assert job()["kind"] == "batch"


@pytest.mark.fault(21)
@pytest.mark.parametrize("queue", ["interactive", "typed"])
def test_a_refusal_of_the_sessions_job_with_exit_code_0_is_one(job, lsf, typed, queue):
    lsf.fault("esub", "on")
    refused = job(**(typed if queue == "typed" else {}))
    assert refused["failed"]
    assert "project 4711 has no hours left" in refused["msg"]
    assert unfinished(lsf) == held() == []
    lsf.fault("esub", "off")
    assert job(**(typed if queue == "typed" else {}))["ready"]


def test_lsfs_words_on_an_interactive_job_reach_the_user(job, typed):
    done = job(**{**typed, "script": typed["script"].replace("-W 6:00", "-W 6:00\n#BSUB -n 1000")})
    assert done["failed"]
    assert "Too many processors requested" in done["msg"]


@pytest.mark.fault(19)
def test_an_interactive_submission_that_lsf_does_not_answer_is_given_up_whole(job, lsf, typed, monkeypatch):
    """A bsub that lived on would submit its job once LSF is back, beside that of the next run."""
    monkeypatch.setattr(session_held, "SUBMISSION", 2)
    lsf.fault("hang", "on", "command=bsub")
    done = job(**typed)
    assert done["failed"]
    assert "LSF did not answer bsub -Is within 2 s." in done["msg"]
    assert held() == []
    lsf.fault("hang", "off")
    again = job(**typed)
    assert again["ready"]
    assert unfinished(lsf) == [again["job"]["id"]]


def test_an_interactive_job_that_was_taken_without_an_answer_is_ours_and_kept(job, lsf, typed, monkeypatch):
    monkeypatch.setattr(session_held, "SUBMISSION", 2)
    lsf.fault("cut", "on", "times=1")
    done = job(**typed)
    assert done["ready"], done
    assert unfinished(lsf) == [done["job"]["id"]]
    assert held()
    job(**typed, state="stopped")
    until(lambda: not held())


@pytest.mark.fault(23)
def test_an_interactive_job_outlives_what_its_log_has_no_room_for(tmp_path):
    command = ["sh", "-c", f"echo words; sleep 0.5; touch {tmp_path}/lived"]
    subprocess.run([sys.executable, session_held.holder.__file__, "/dev/full", *command], timeout=30, check=True)
    assert (tmp_path / "lived").exists()


def test_a_remark_in_an_option_is_none_of_bsubs_arguments(tmp_path):
    log = tmp_path / "job.log"
    script = f"#BSUB -n 2 # two\n#BSUB -o {tmp_path}//job.log\nexec python launch.py\n"
    argv = session_held.arguments(script, "ours", log)
    assert argv == ["bsub", "-Is", "-Jd", "ours", "-n", "2", "python", "launch.py"]


def test_an_lsf_without_descriptions_gets_no_interactive_job(tmp_path, monkeypatch):
    """OpenLava would run the description as a command, and nobody could tell the job from the user's own."""
    with running(tmp_path / "cluster", personality="openlava") as lsf:
        job = caller(lsf, tmp_path, monkeypatch)
        script = SCRIPT.format(python=sys.executable, folder=job.folder).replace("-q interactive", "-q typed")
        done = job(queue="typed", script=script)
        assert done["failed"]
        assert "this LSF's bsub has no descriptions" in done["msg"]
        assert "No unfinished job found" in lsf("bjobs").stderr
        assert held() == []


@pytest.mark.fault(25)
def test_without_lsf_on_path_the_way_out_is_told(job, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = job()
    assert done["failed"]
    assert "session_lsf_profile" in done["msg"]


def test_lsf_is_found_through_the_sites_profile(job, lsf, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert job(profile=f"{lsf.dest}/conf/profile.lsf")["ready"]


@pytest.mark.fault(19)
def test_a_master_that_is_away_is_told_within_the_deadline(job, lsf, monkeypatch):
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 4)
    monkeypatch.setattr(client.Lsf.__init__, "__defaults__", (10,))
    lsf.stop("master")
    started = time.monotonic()
    try:
        done = job()
    finally:
        lsf.start("master")
        until(lambda: lsf("bhosts").stdout.count(" ok ") == 3)
    assert done["failed"]
    assert "LSF did not answer" in done["msg"]
    assert "still trying" in done["msg"]
    assert time.monotonic() - started < 20
