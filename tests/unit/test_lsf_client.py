"""The client on the LSF double, and on the recorded words of LSFs that the double does not speak."""

import json
import re
import shlex
import subprocess
import threading
import time

import lsf_recorded
import pytest
from ansible.module_utils.lsf import LsfError, client, command, parse
from lsf_cluster import until

NONCE = "slipway jupyter 0123456789abcdef"
SCRIPT = "#!/bin/sh\n#BSUB -J jupyter\n#BSUB -q normal\nsleep 300\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "MISSES", (0.1, 0.2))
    monkeypatch.setattr(client, "PAUSES", (0.1, 0.2, 0.3))
    monkeypatch.setattr(client, "POLL", 0.2)


@pytest.fixture
def ours(lsf):
    """The client as a role has it."""
    yield client.Lsf(lsf.env, "session_")
    lsf.clear()


class Printed:
    """Commands of LSF that print what was recorded: ``answers`` by command, each with a pattern of the shell for its arguments."""

    def __init__(self, folder, **answers):
        self.folder = folder
        for name, cases in answers.items():
            self.put(name, cases)
        self.env = {"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder)}
        self.lsf = client.Lsf(self.env, "session_", 20)

    def put(self, name, cases):
        lines = ["#!/bin/sh", f'echo "{name} $*" >>{self.folder}/calls', 'case "$*" in']
        for pattern, out, err, code in cases:
            lines.append(f"{pattern}) printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; exit {code} ;;")
        self.script(name, "\n".join([*lines, "esac", "exit 77"]))

    def script(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)

    @property
    def calls(self):
        return (self.folder / "calls").read_text().splitlines()


def answer(system, command, nth=0):
    """A recorded answer: stdout, stderr, exit code."""
    block = lsf_recorded.said(system, command, nth)
    return block.stdout, block.stderr, block.code


NOT_KNOWN = answer("openlava", 'bjobs -json -o "jobid stat"')
NO_SUCH_OPTION = [("*-json*", *NOT_KNOWN), ("*-o*", *answer("openlava", 'bjobs -o "jobid stat"'))]


# -- on the double


def test_the_first_question_finds_the_best_form_and_no_other_is_asked(ours, lsf):
    job_id = lsf.submit("-J", "a^b", "-Jd", NONCE, "sleep", "300")
    lsf.reaches(job_id, "RUN")
    asked = []
    run, ours.run = ours.run, lambda argv, **rest: asked.append(argv) or run(argv, **rest)
    (job,) = [job for job in ours.jobs() if job.id == job_id]
    assert len(asked) == 1 and "-json" in asked[0]
    assert (job.stat, job.name, job.description) == ("RUN", "a^b", NONCE)
    assert job.host in ("t001", "t002")


def test_json_and_rows_tell_the_same_whatever_the_name(ours, lsf):
    names = ["a^b", "^", "7^EXIT^normal^t001^0^x^x^x^x", "two words", "q'uote\"d", "é", "*star"]
    ids = [lsf.submit("-J", name, "-Jd", NONCE, "-n", "1", "sleep", "300") for name in names]
    for job_id in ids:
        lsf.reaches(job_id, "RUN")
    told = ours.jobs(*ids)
    ours.form = "rows"
    assert ours.jobs(*ids) == told
    assert {job.id: (job.name, job.description) for job in told} == {
        job_id: (name, NONCE) for job_id, name in zip(ids, names, strict=True)
    }


def test_a_job_from_its_submission_to_its_end(ours, lsf):
    job_id = ours.submit(SCRIPT, NONCE)
    lsf.reaches(job_id, "RUN")
    job = ours.job(job_id)
    assert (job.name, job.description, job.meaning) == ("jupyter", NONCE, "live")
    assert ours.kill(job_id)
    ours.wait_until_over(job_id)
    job = ours.job(job_id)
    assert job.meaning == "over"
    assert "TERM_OWNER" in job.ending
    assert not ours.kill(job_id)


def test_how_a_job_ended_is_told_with_its_exit_code(ours, lsf):
    job_id = ours.submit("#BSUB -q normal\nexit 3\n", NONCE)
    lsf.reaches(job_id, "EXIT")
    assert ours.job(job_id).ending == "EXIT, exit code 3"


def test_an_unknown_job_is_none(ours):
    assert ours.jobs("99999") == []
    assert ours.job("99999") is None
    assert not ours.kill("99999")


def test_lsfs_refusal_reaches_the_user(ours):
    with pytest.raises(LsfError, match="Too many processors requested"):
        ours.submit("#BSUB -n 1000\ntrue\n", NONCE)


@pytest.mark.parametrize(
    ("queue", "script", "words"),
    [
        ("nosuch", "", "session_queue is 'nosuch': LSF has no such queue; it has batchonly, brief, interactive"),
        ("typed", "", "session_queue is 'typed': that queue takes interactive jobs only"),
        ("interactive", "#BSUB -W 24:01", "session_walltime is '24:01': queue interactive allows at most 24:00"),
        ("interactive", "#BSUB -W 1:2:3", "session_walltime is '1:2:3': LSF's -W is [hours:]minutes"),
        ("normal", "#BSUB -n 0", "session_slots is '0': a number of slots is a whole number from 1 on"),
        (
            "normal",
            "#BSUB -M 20",
            "-M in session_bsub_options is '20': that is 20 MB here, where a bare number counts MB",
        ),
        ("normal", "#BSUB -M lots", "-M in session_bsub_options is 'lots': a memory limit is a number"),
        ("normal", '#BSUB -J "x', "a line that LSF can't read"),
    ],
)
def test_what_the_queue_does_not_allow_is_told_before_the_submission(ours, queue, script, words):
    with pytest.raises(LsfError) as told:
        ours.require_queue(queue, script)
    assert words in str(told.value)


def test_the_queues_policy_tells_batch_from_interactive(ours):
    assert [ours.queue(name).takes for name in ("normal", "typed", "batchonly")] == ["any", "interactive", "batch"]
    assert ours.require_queue("typed", interactive=True).takes == "interactive"
    assert ours.require_queue("batchonly", interactive=True).takes == "batch"
    queue = ours.require_queue("interactive", "#BSUB -W 24:00 -n 40\n#BSUB -M 20000\n")
    assert (queue.default_run_minutes, queue.run_minutes) == (360, 1440)


def test_the_clusters_name(ours):
    assert ours.cluster() == "triton"


def wrapped(ours, lsf, folder, name, before="", after=""):
    """Puts a site's wrapper before one of LSF's commands."""
    real = f"{lsf.dest}/10.1/bin/{name}"
    path = folder / name
    path.write_text(f'#!/bin/sh\n{before}\n{real} "$@"\ncode=$?\n{after}\nexit $code\n')
    path.chmod(0o755)
    ours.env["PATH"] = f"{folder}:{ours.env['PATH']}"


@pytest.mark.fault(22)
def test_a_submission_among_banners_on_the_wrong_stream(ours, lsf, tmp_path):
    banner = "echo 'Job is submitted to <cpp> project.'; echo '77 nodes are down' >&2; exec 3>&1 1>&2 2>&3"
    wrapped(ours, lsf, tmp_path, "bsub", banner)
    job_id = ours.submit(SCRIPT, NONCE)
    assert lsf.field(job_id, "job_description") == NONCE


@pytest.mark.fault(21)
def test_an_esub_that_refuses_with_exit_code_0_is_a_refusal(ours, lsf, tmp_path):
    wrapped(ours, lsf, tmp_path, "bsub", "echo 'Job 77: not today'; exit 0")
    with pytest.raises(LsfError, match="not today"):
        ours.submit(SCRIPT, NONCE)


def test_what_would_silence_bsub_is_kept_from_it(lsf, tmp_path):
    names = ("BSUB_QUIET", "BSUB_BLOCK", "BSUB_CHK_RESREQ")
    ours = client.Lsf({**lsf.env, **dict.fromkeys(names, "y")}, "session_")
    wrapped(ours, lsf, tmp_path, "bsub", "".join(f'test -z "${name}" || exec >/dev/null\n' for name in names))
    assert ours.submit(SCRIPT, NONCE)
    lsf.clear()


def test_a_bsub_that_is_cut_off_after_it_was_taken_leaves_one_job_that_is_adopted(ours, lsf, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 4)
    wrapped(ours, lsf, tmp_path, "bsub", after="sleep 77")
    job_id = ours.submit(SCRIPT, NONCE)
    assert [job.id for job in ours.jobs() if job.description == NONCE and job.meaning != "over"] == [job_id]


def test_a_bsub_whose_connection_broke_after_it_was_taken_leaves_one_job_that_is_adopted(ours, lsf, tmp_path):
    """LSF says `Job not submitted` of it."""
    words = "Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer. Job not submitted."
    wrapped(ours, lsf, tmp_path, "bsub", "exec >/dev/null", f"echo '{words}' >&2; exit 255")
    job_id = ours.submit(SCRIPT, NONCE)
    assert [job.id for job in ours.jobs() if job.description == NONCE and job.meaning != "over"] == [job_id]
    wrapped(ours, lsf, tmp_path, "bsub", f"echo '{words}' >&2; exit 255")
    with pytest.raises(client.Unanswered, match="Connection reset by peer"):
        ours.submit(SCRIPT, f"{NONCE}0")


def test_a_bsub_that_is_cut_off_before_is_not_repeated_and_takes_what_it_started_along(
    ours, lsf, tmp_path, monkeypatch
):
    before = len(ours.jobs())
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 2)
    wrapped(ours, lsf, tmp_path, "bsub", f"echo $$ >>{tmp_path}/pids; echo 'still trying' >&2; sleep 77")
    started = time.monotonic()
    with pytest.raises(client.Unanswered, match="still trying"):
        ours.submit(SCRIPT, NONCE)
    assert time.monotonic() - started < 20
    (pid,) = (tmp_path / "pids").read_text().split()
    groups = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    assert [line for line in groups.splitlines() if line.split()[0] == pid and "Z" not in line] == []
    assert len(ours.jobs()) == before


def test_a_job_that_is_missing_for_one_question_is_not_gone(ours, lsf, tmp_path):
    job_id = ours.submit(SCRIPT, NONCE)
    wrapped(
        ours,
        lsf,
        tmp_path,
        "bjobs",
        f"test -e {tmp_path}/asked || {{ touch {tmp_path}/asked; echo 'Job <{job_id}> is not found' >&2; exit 255; }}",
    )
    assert ours.job(job_id).description == NONCE


@pytest.mark.fault(19)
def test_a_master_that_comes_back_answers_the_question_that_waited(ours, lsf, monkeypatch):
    job_id = ours.submit(SCRIPT, NONCE)
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 2)
    lsf.stop("master")
    timer = threading.Timer(3, lsf.start, ["master"])
    timer.start()
    try:
        assert ours.job(job_id).id == job_id
    finally:
        timer.join()
        until(lambda: lsf("bhosts").stdout.count(" ok ") == 3)


def test_a_master_that_stays_away_is_told_in_its_words_within_the_deadline(lsf, monkeypatch):
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 3)
    ours = client.Lsf(lsf.env, "session_", 5)
    lsf.stop("master")
    started = time.monotonic()
    try:
        for ask in (ours.jobs, lambda: ours.kill("1")):
            with pytest.raises(client.Unanswered, match="still trying"):
                ask()
    finally:
        lsf.start("master")
        until(lambda: lsf("bhosts").stdout.count(" ok ") == 3)
    assert time.monotonic() - started < 2 * 5 + 10


def test_a_trouble_that_passes_is_tried_again_and_a_refusal_is_not(ours, lsf, tmp_path):
    trouble = f"echo x >>{tmp_path}/tries; test $(wc -l <{tmp_path}/tries) -gt 2 || {{ echo 'LIM is down; try later' >&2; exit 255; }}"
    wrapped(ours, lsf, tmp_path, "bjobs", trouble)
    assert ours.jobs("99999") == []
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    refusal = f"echo x >>{tmp_path}/bsubs; echo 'Please wait ...' >&2; echo 'User permission denied. Job not submitted.' >&2; exit 255"
    wrapped(ours, lsf, tmp_path, "bsub", refusal)
    with pytest.raises(LsfError, match="User permission denied"):
        ours.submit(SCRIPT, NONCE)
    assert (tmp_path / "bsubs").read_text() == "x\n"


def test_a_profile_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "SHELL_TIMEOUT", 1)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    profile = tmp_path / "profile.lsf"
    profile.write_text("echo waiting >&2; sleep 77\n")
    with pytest.raises(LsfError, match=r"session_lsf_profile.*within 1 s") as told:
        client.environment(str(profile), "session_")
    assert told.value.words == "waiting"


# -- on recorded words


def test_openlava_has_columns_only_and_is_asked_for_more_once(tmp_path):
    said = answer("openlava", "bjobs -w 202")
    printed = Printed(
        tmp_path,
        bjobs=[*NO_SUCH_OPTION, ("-a\\ -w*", *said), ("-a\\ -UF*", *answer("openlava", "bjobs -UF 202"))],
    )
    assert printed.lsf.jobs() == [parse.Job("202", "RUN", "interactive", "n002", "jupyter")]
    assert printed.lsf.form == "columns"
    assert len(printed.calls) == 4
    printed.lsf.jobs()
    assert printed.calls[4:] == ["bjobs -a -w", "bjobs -a -UF"]


@pytest.mark.parametrize("unfolded", [True, False])
def test_openlavas_reasons_and_ends_come_from_the_long_text(tmp_path, unfolded):
    usage = ("", "bjobs: invalid option -- 'U'\nUsage: bjobs [-h]\n", 255)
    printed = Printed(
        tmp_path,
        bjobs=[
            *NO_SUCH_OPTION,
            ("-a\\ -w\\ 490", *answer("openlava", "bjobs -w 490")),
            ("-a\\ -w\\ 202", *answer("openlava", "bjobs -w 202", 1)),
            *([] if unfolded else [("*-UF*", *usage)]),
            ("*490", *answer("openlava", "bjobs -l 490")),
            ("*202", *answer("openlava", "bjobs -l 202", 1)),
        ],
    )
    assert printed.lsf.job("490").pend_reason == "Not enough job slot(s): 2 hosts;"
    assert len(printed.calls) == (4 if unfolded else 5)
    assert printed.lsf.job("202").ending == "EXIT, exit code 130"


def test_openlava_gets_the_nonce_in_the_script_and_never_as_a_command(tmp_path):
    """`bsub -Jd X` is there a job called d that runs X."""
    printed = Printed(tmp_path, bjobs=[*NO_SUCH_OPTION, ("-a\\ -w*", "", "No job found\n", 255)])
    printed.script(
        "bsub",
        f'#!/bin/sh\necho "bsub $*" >>{tmp_path}/calls\ncat >{tmp_path}/submitted\necho "Job <202> is submitted to queue <interactive>."\n',
    )
    assert printed.lsf.submit(SCRIPT, NONCE) == "202"
    assert printed.calls[-1] == "bsub "
    submitted = (tmp_path / "submitted").read_text()
    assert [line for line in submitted.splitlines() if "slipway" not in line] == SCRIPT.splitlines()
    wide = lsf_recorded.said("openlava", "bjobs -w 202").stdout
    shown = lsf_recorded.said("openlava", "bjobs -UF 202").stdout.replace("sleep 300", ";".join(submitted.splitlines()))
    printed.put("bjobs", [*NO_SUCH_OPTION, ("-a\\ -w*", wide, "", 0), ("-a\\ -UF*", shown, "", 0)])
    assert printed.lsf.job("202").description == NONCE


def test_a_job_that_the_long_text_lacks_is_an_error_since_it_could_be_ours(tmp_path):
    printed = Printed(
        tmp_path,
        bjobs=[
            *NO_SUCH_OPTION,
            ("-a\\ -w*", *answer("openlava", "bjobs -w 202")),
            ("-a\\ -UF*", "", "No job found\n", 255),
        ],
    )
    with pytest.raises(LsfError, match="bjobs -UF tells nothing of job 202"):
        printed.lsf.jobs()
    # One that is forgotten between the two questions is gone, and no error.
    columns = f"test -e {tmp_path}/asked && {{ echo 'No job found' >&2; exit 255; }}; touch {tmp_path}/asked"
    listing = lsf_recorded.said("openlava", "bjobs -w 202").stdout
    printed.script(
        "bjobs",
        f"#!/bin/sh\ncase \"$*\" in *-w*) {columns}; printf %s {shlex.quote(listing)};; *) echo 'No job found' >&2;; esac\n",
    )
    assert printed.lsf.jobs() == []


def test_volclava_knows_few_fields_and_is_asked_for_the_others_once(tmp_path):
    record = {"JOBID": "2", "STAT": "RUN", "QUEUE": "interactive", "EXEC_HOST": "n002", "JOB_NAME": "jupyter"}
    records = json.dumps({"COMMAND": "bjobs", "JOBS": 1, "RECORDS": [record]})
    bad = answer("volclava", 'bjobs -a -json -o "jobid stat exit_code exec_host finish_time"')
    shown = lsf_recorded.said("volclava", "bjobs -UF 2").stdout.replace(
        "<sleep 300>", f"<sleep 300>, Job Description <{NONCE}>"
    )
    printed = Printed(tmp_path, bjobs=[("*exit_code*", *bad), ("*-json*", records, "", 0), ("-a\\ -UF*", shown, "", 0)])
    expected = parse.Job("2", "RUN", "interactive", "n002", "jupyter", NONCE)
    assert printed.lsf.jobs() == [expected]
    assert printed.lsf.jobs("2") == [expected]
    assert len(printed.calls) == 3 + 2
    printed.put("bjobs", [("*", *answer("volclava", 'bjobs -json -o "jobid stat"'))])
    assert printed.lsf.jobs() == []


@pytest.mark.parametrize(
    "wrong",
    [
        '{"RECORDS": [{"JOBID": "7", "JOB_NAME": "q\'uote"d"}]}',
        '{"RECORDS": [{"JOBID": "7", "STAT": "RUN", "JOB_DESCRIPTION": "*way x"}]}',
    ],
)
def test_json_that_lsf_writes_wrong_is_asked_for_in_rows(tmp_path, wrong):
    rows = "7^RUN^normal^40*t037^-^slipway x^-^-^q'uote\"d\n"
    printed = Printed(tmp_path, bjobs=[("*-json*", wrong, "", 0), ("*-noheader*", rows, "", 0)])
    assert printed.lsf.jobs() == [parse.Job("7", "RUN", "normal", "t037", "q'uote\"d", "slipway x")]


def test_a_job_that_bjobs_has_forgotten_is_found_in_bhist_with_its_end(tmp_path):
    gone = answer("openlava", "bjobs 819", 1)
    printed = Printed(
        tmp_path,
        bjobs=[*NO_SUCH_OPTION, ("*", *gone)],
        bhist=[("-l\\ 486", *answer("openlava", "bhist -l 486")), ("-l\\ 819", *answer("openlava", "bhist -l 819"))],
    )
    assert printed.lsf.job("486").ending == "EXIT, exit code 140"
    assert printed.lsf.job("819").ending == "DONE"
    # What bhist knows needs no second question.
    assert sum(call.startswith("bjobs -a -w") for call in printed.calls) == 2


def test_a_job_that_bjobs_misses_and_that_has_not_ended_is_doubtful_and_not_gone(tmp_path):
    printed = Printed(
        tmp_path,
        bjobs=[("*-json*", "", "Job <485> is not found\n", 255)],
        bhist=[("*", *answer("openlava", "bhist -l 485"))],
    )
    job = printed.lsf.job("485")
    assert (job.stat, job.meaning) == ("UNKWN", "doubtful")
    assert len([call for call in printed.calls if "bjobs" in call]) == 3


def test_a_job_that_lsf_was_asked_to_end_is_over_only_once_bjobs_finds_it_no_more(tmp_path):
    """It may still be on the ladder of signals, and be missing for one question."""
    asked = re.sub(
        r"\n[^\n]*: Exited .*?;\n", "\n", lsf_recorded.said("openlava", "bhist -l 202", 1).stdout, flags=re.DOTALL
    )
    printed = Printed(tmp_path, bhist=[("*", asked, "", 0)])
    gone, there = "echo 'Job <202> is not found' >&2; exit 255", "echo '202^RUN^normal^t037^-^-^-^-^jupyter'; exit"
    printed.script("bjobs", f"#!/bin/sh\ntest -e {tmp_path}/asked && {{ {there}; }}; touch {tmp_path}/asked; {gone}\n")
    printed.lsf.form = "rows"
    assert printed.lsf.job("202").stat == "RUN"
    printed.script("bjobs", f"#!/bin/sh\n{gone}\n")
    assert printed.lsf.job("202").ending == "EXIT, LSF was asked to end it"


def test_queues_of_openlava_and_their_limits(tmp_path):
    printed = Printed(
        tmp_path,
        bqueues=[
            ("-l\\ interactive", *answer("openlava", "bqueues -l interactive")),
            ("-l*", "odd\n", "", 0),
            ("-w", *answer("openlava", "bqueues -w")),
        ],
        lsid=[("*", *answer("openlava", "lsid"))],
    )
    assert printed.lsf.queue("normal").status == "Open:Active"
    for script, words in (
        ("#BSUB -W 481", "session_walltime is '481': queue interactive allows at most 8:00"),
        ("#BSUB -n 5", "session_slots is '5': queue interactive gives a user 4 slots, so the job would wait for ever"),
        ("#BSUB -M 20000", "'20000': that is 19.53 MB here, where a bare number counts KB"),
    ):
        with pytest.raises(LsfError, match="session_") as told:
            printed.lsf.require_queue("interactive", script)
        assert words in str(told.value)
    printed.lsf.form = "columns"
    with pytest.raises(LsfError, match="a whole number of KB: this LSF takes no unit with it"):
        printed.lsf.require_queue("interactive", "#BSUB -M 4GB")
    printed.put("lsid", [("*", *answer("volclava", "lsid"))])
    assert printed.lsf.require_queue("interactive", "#BSUB -M 20000 -n 4 -W 8:00")


@pytest.mark.fault(15)
def test_a_closed_queue_is_told_with_its_status(tmp_path):
    text = lsf_recorded.said("openlava", "bqueues -l interactive").stdout.replace("Open:Active  ", "Closed:Active")
    printed = Printed(tmp_path, bqueues=[("*", text, "", 0)])
    with pytest.raises(
        LsfError, match="session_queue is 'interactive': that queue is Closed:Active and takes no jobs now"
    ):
        printed.lsf.require_queue("interactive")


@pytest.mark.parametrize("system", lsf_recorded.SYSTEMS)
def test_kills_by_their_words(tmp_path, system):
    job_id = {"openlava": "202", "volclava": "2"}[system]
    for nth, expected in ((0, True), (1, False)):
        blocks = [
            block
            for block in lsf_recorded.recorded(system)
            if block.command == f"bkill {job_id}" and "denied" not in block.stderr
        ]
        block = blocks[nth]
        printed = Printed(
            tmp_path, bkill=[("*", block.stdout, block.stderr, 0 if nth else 255)]
        )  # an exit code that lies
        assert printed.lsf.kill(job_id) is expected
    printed = Printed(tmp_path, bkill=[("*", "", f"Job <{job_id}>: User permission denied\n", 0)])
    with pytest.raises(LsfError, match="User permission denied"):
        printed.lsf.kill(job_id)


@pytest.mark.fault(20)
def test_lim_that_is_down_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "PAUSES", (0.1,))
    down = next(
        block
        for block in lsf_recorded.recorded("openlava")
        if block.command == "lsid" and "LIM is down" in block.stderr
    )
    printed = Printed(tmp_path, lsid=[("*", "", down.stderr, 255)])
    with pytest.raises(LsfError, match="LIM is down; try later"):
        printed.lsf.cluster()
    assert len(printed.calls) == 2
