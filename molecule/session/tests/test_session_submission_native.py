"""The faults of the submission and of files (docs/faults.md), each for real: what its user is told, and the way back.

Later tests go on from where earlier ones ended.
"""

import pytest
from test_session import CONDA

pytestmark = pytest.mark.usefixtures("staffed")

# --- the submission


@pytest.fixture
def badmin(minitriton):
    """Closes and opens as the administrator does."""
    return lambda *argv: minitriton("exec", "mgmt", "bash", "-lc", f"badmin {' '.join(argv)}")


@pytest.mark.fault(14)
@pytest.mark.fault(22)
def test_a_job_that_pends_past_the_deadline_stays_and_is_adopted(playbook, session, well, badmin, fault, login):
    """Its number is read among lines that have others."""
    playbook("playbooks/stop.yml", *CONDA)
    fault("banner", "on")
    badmin("hclose", "t037")
    try:
        code, words = session("-e", "session_wait=30")
        assert code != 0
        waiting, *stat = login("bjobs -noheader -o 'jobid stat'").split()
        assert stat == ["PEND"]
        assert f"Job {waiting} in queue interactive is PEND; its server does not listen yet. LSF's reason:" in words, (
            words
        )
        assert "The job was left as it is" in words and "session_wait is 30 s" in words
    finally:
        badmin("hopen", "t037")
    code, words = session()
    assert code == 0, words
    assert well()["job_id"] == waiting


@pytest.mark.fault(15)
def test_a_closed_queue_is_told_before_anything_is_submitted(session, badmin, login):
    before = login("bjobs -a -noheader -o jobid")
    badmin("qclose", "interactive")
    try:
        code, words = session("-e", "session_name=other")
    finally:
        badmin("qopen", "interactive")
    assert code != 0
    assert "session_queue is 'interactive': that queue is Closed:Active and takes no jobs now" in words, words
    assert "choose another queue, or wait until it opens" in words
    assert login("bjobs -a -noheader -o jobid") == before


@pytest.mark.fault(17)
def test_no_right_to_the_queue_is_told_in_lsfs_words(session):
    code, words = session("-e", "session_name=other", "-e", "session_queue=staff")
    assert code != 0
    assert "User cannot use the queue" in words and "choose another queue (session_queue)" in words, words


@pytest.mark.fault(30)
def test_a_clock_that_is_an_hour_off(first, session, status, well, fault):
    """LSF's, for the file system's and this machine's to disagree with: nothing is reckoned from it."""
    for seconds in ("3600", "-3600"):
        fault("clock", "on", f"seconds={seconds}")
        code, words = session()
        assert code == 0, words
        told, _ = status()
        assert told["verdict"]["name"] == "healthy"
        assert 300 < told["minutes_left"] <= 360
    assert well() == first


@pytest.mark.fault(25)
def test_lsf_that_no_login_shell_brings_is_found_by_the_sites_profile(session, minitriton, host):
    """As ever on Mini-Triton, a shell that is no login shell has none; now a login shell has none either."""
    assert host.run("command -v bsub").rc != 0
    minitriton("exec", "login", "mv", "/etc/profile.d/lsf.sh", "/etc/lsf.away")
    try:
        code, words = session()
        assert code != 0
        assert "your login shell does not put LSF's bsub on PATH" in words, words
        assert "set session_lsf_profile to the site's profile.lsf" in words
        code, words = session("-e", "session_lsf_profile=/opt/lsf/conf/profile.lsf")
        assert code == 0, words
    finally:
        minitriton("exec", "login", "mv", "/etc/lsf.away", "/etc/profile.d/lsf.sh")


# --- files


@pytest.mark.fault(35)
def test_a_half_written_connection_file_is_mended_by_the_job(first, session, well, host, folder):
    host.check_output(f"truncate -s 40 {folder}/session-jupyter.connection")
    code, words = session()
    assert code == 0, words
    assert well() == first


@pytest.mark.fault(24)
def test_scratch_that_is_gone_is_told_by_the_doctor_and_the_session_goes_on(first, playbook, well, state, user):
    scratch = state / "scratch/demo"
    ask = (
        "playbooks/doctor.yml",
        *CONDA,
        "-e",
        "session_checks=quick",
        "-e",
        f"dask_local_directory=/scratch/demo/{user}",
    )
    scratch.rename(scratch.with_name("away"))
    try:
        done = playbook(*ask)
        words = " ".join(done.stdout.split())
        assert done.returncode != 0
        assert "scratch: /scratch" in words and "Remedy: dask_local_directory: ask the site" in words, words
        assert well() == first
    finally:
        scratch.with_name("away").rename(scratch)
    done = playbook(*ask)
    assert done.returncode == 0, done.stdout
    assert well() == first


@pytest.mark.fault(23)
def test_a_full_home_is_told_and_spares_a_session_that_runs(playbook, session, well, minitriton, host, user, home):
    playbook("playbooks/stop.yml", *CONDA)
    minitriton("user", user, "--home-size", "900M")
    code, words = session()
    assert code == 0, words
    first = well()
    host.run(f"head -c 2G /dev/zero > {home}/large")
    try:
        assert host.run(f"echo word > {home}/.local/state/slipway/word").rc != 0
        code, words = session()
        assert code != 0
        assert "No space left on device" in words and "session_folder" in words, words
        assert well() == first
    finally:
        host.check_output(f"rm {home}/large")
    code, words = session()
    assert code == 0, words
    assert well() == first
