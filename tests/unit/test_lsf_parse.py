"""What LSF prints, read right: words recorded on real systems, and those of LSF 10's own documentation."""

import json
import re

import lsf_recorded
import pytest
from ansible.module_utils.lsf import LsfError, long, parse


def recorded(pattern):
    """The recorded commands that match, of both systems."""
    found = [
        block
        for system in lsf_recorded.SYSTEMS
        for block in lsf_recorded.recorded(system)
        if re.fullmatch(pattern, block.command)
    ]
    assert found, pattern
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Job <33565> is submitted to queue <interactive>.\n", ("33565", "interactive")),
        ("Job <12> is submitted to default queue <normal>.\n", ("12", "normal")),
        ("Job <12> is submitted to queue <normal>.\r\n<<Waiting for dispatch ...>>\r\n", ("12", "normal")),
        ("Job is submitted to <cpp> project.\nJob <12> is submitted to queue <normal>.\n", ("12", "normal")),
        ("Welcome, 3 nodes are down\nJob <12> is submitted to queue <normal>.\n", ("12", "normal")),
        ("Cannot connect to LSF. Please wait ...\nJob <7> is submitted to queue <short>.\n", ("7", "short")),
        ("Job is submitted to <cpp> project.\n", None),
        ("No such queue. Job not submitted.\n", None),
        ("Request aborted by esub. Job not submitted.\n", None),
        ("Job <٣> is submitted to queue <normal>.\n", None),
        ("", None),
    ],
)
def test_submission_in_every_wording(text, expected):
    assert parse.submission(text) == expected


def test_a_recorded_submission_is_accepted_or_refused_as_it_was():
    for block in recorded(r"bsub [^;|]*"):
        refused = "Job not submitted" in block.stderr or "sage" in block.stderr or "OpenLava 3" in block.stderr
        accepted = parse.submission(block.stdout + "\n" + block.stderr)
        if "still trying" not in block.stderr and block.stdout + block.stderr and "bash:" not in block.stderr:
            assert (accepted is None) == (refused or "volclava project" in block.stdout), block


@pytest.mark.parametrize(
    ("exec_host", "expected"),
    [
        ("t037", [("t037", 1)]),
        ("t037:t037:t037", [("t037", 3)]),
        ("n002:n002:n001", [("n002", 2), ("n001", 1)]),
        ("40*t037", [("t037", 40)]),
        ("4*t001:4*t002", [("t001", 4), ("t002", 4)]),
        ("t037@triton", [("t037", 1)]),
        ("4*t037@triton:t001@other", [("t037", 4), ("t001", 1)]),
        ("t037.example.edu", [("t037.example.edu", 1)]),
        ("lost_and_found", []),
        ("-", []),
        ("   - ", []),
        ("", []),
    ],
)
def test_hosts_of_every_form(exec_host, expected):
    assert parse.hosts(exec_host) == expected
    assert parse.first_host(exec_host) == (expected[0][0] if expected else "")


def row(id="1", stat="RUN", queue="normal", host="t001", code="-", description="-", pend="-", exit="-", name="x"):
    return "^".join((id, stat, queue, host, code, description, pend, exit, name)) + "\n"


def test_a_pending_job_has_no_host_and_a_reason():
    (job,) = parse.jobs(
        row("33566", "PEND", "interactive", "-", pend="User has reached the per-user job slot limit of the queue;")
    )
    assert (job.meaning, job.host) == ("waiting", "")
    assert job.pend_reason.startswith("User has reached")


def test_a_running_job_with_forty_slots():
    (job,) = parse.jobs(row("33565", host="40*t001", name="dask-worker").replace("\n", "\r\n"))
    assert (job.id, job.meaning, job.host, job.description, job.name) == ("33565", "live", "t001", "", "dask-worker")


def test_a_finished_job_tells_how_it_ended():
    (job,) = parse.jobs(
        row(stat="EXIT", code="140", exit="TERM_RUNLIMIT: job killed after reaching LSF run time limit")
    )
    assert job.ending == "EXIT, exit code 140, TERM_RUNLIMIT: job killed after reaching LSF run time limit"


@pytest.mark.parametrize(
    "name", ["a^b", "^", "RUN^normal^t037", "2^DONE", "a^b^c^d^e^f^g^h^i^j", "two words", "é", "-x"]
)
def test_a_delimiter_in_a_jobs_name_changes_nothing_else(name):
    (job,) = parse.jobs(row("7", "PEND", host="-", description="slipway jupyter 0f", name=name))
    assert job == parse.Job("7", "PEND", "normal", "", name, "slipway jupyter 0f")


def test_a_name_over_two_lines_is_one_job():
    first, second = parse.jobs(row(name="two\nlines^of it") + row("2"))
    assert (first.name, second.id) == ("two", "2")


def test_half_a_row_is_an_error_and_no_missing_job():
    with pytest.raises(LsfError, match="without all that was asked for"):
        parse.jobs("33565^RUN^norm")


@pytest.mark.parametrize(
    ("states", "meaning"),
    [
        ("PEND WAIT PROV", "waiting"),
        ("PSUSP", "held"),
        ("RUN", "live"),
        ("USUSP SSUSP", "frozen"),
        ("UNKWN", "doubtful"),
        ("DONE EXIT ZOMBI", "over"),
    ],
)
def test_every_state_has_a_meaning(states, meaning):
    for state in states.split():
        (job,) = parse.jobs(row(stat=state))
        assert job.meaning == meaning


def test_a_state_of_tomorrow_is_doubtful_and_not_over():
    (job,) = parse.jobs(row(stat="FORWARDED"))
    assert job.meaning == "doubtful"


def records(*jobs):
    return json.dumps({"COMMAND": "bjobs", "JOBS": len(jobs), "RECORDS": jobs}, indent=2)


def test_json_below_a_banner_with_a_job_that_is_not_found():
    text = "Welcome {user}\n" + records(
        {"JOBID": "33565", "STAT": "RUN", "EXEC_HOST": "40*t037", "JOB_NAME": 'a^b"c', "JOB_DESCRIPTION": ""},
        {"JOBID": "123", "ERROR": "Job <123> is not found"},
    )
    assert parse.jobs_json(text) == [parse.Job("33565", "RUN", host="t037", name='a^b"c')]


def test_json_with_a_raw_tab_in_a_name():
    text = records({"JOBID": "7", "STAT": "RUN", "JOB_NAME": "a\tb"}).replace("\\t", "\t")
    assert parse.jobs_json(text)[0].name == "a\tb"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"RECORDS": 3}',
        '{"RECORDS": ["x"]}',
        records({"JOBID": "1"}),
        records({"JOBID": "x", "STAT": "RUN"}),
        records({"JOBID": "1", "ERROR": "Internal error"}),
        records({"JOBID": "1", "STAT": "RUN"})[:-9],
        records({"JOBID": "1", "STAT": "RUN", "EXEC_HOST": "*37:t037:t0"}),
    ],
)
def test_json_that_is_none_is_an_error(text):
    with pytest.raises(LsfError):
        parse.jobs_json(text)


def test_recorded_json():
    for block in recorded(r'bjobs (?:-a )?-json -o ".*".*'):
        if "RECORDS" in block.stdout and "STAT" in block.stdout:
            assert len(parse.jobs_json(block.stdout)) == block.stdout.count("JOBID")
        elif '"JOBS":\t0' in block.stdout:
            assert parse.jobs_json(block.stdout) == []
        elif "JOBID" not in block.stdout:
            assert parse.says_unknown_option(block.stderr) or parse.unknown_field(block.stderr)


ROW = r"(\d+) +\w+ +([A-Z]+) +\w+ +(?:triton-logi\w*|n00\d) +(?:\d\*)?(n00\d|triton-login1|)"


def test_recorded_columns_plain_and_wide():
    listings = [block for block in recorded(r"bjobs.*") if "EXEC_HOST   JOB_NAME" in block.stdout]
    assert len(listings) > 150
    for block in listings:
        if ";" in block.command or "-W" in block.command:
            continue
        expected = re.findall("^" + ROW, block.stdout, re.MULTILINE)
        assert [(job.id, job.stat, job.host) for job in parse.jobs_columns(block.stdout)] == expected, block


def test_recorded_columns_with_every_difficulty():
    text = """\
JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME
329     alice   RUN   normal     triton-logi n002        *mmandline Nov 23 01:17
                                             n001
369     alice   PEND  interactiv triton-logi             two words  Nov 23 01:18
320     alice   EXIT  normal     triton-logi n002                   Nov 23 01:17 2026
"""
    assert parse.jobs_columns(text) == [
        parse.Job("329", "RUN", "normal", "n002", "*mmandline"),
        parse.Job("369", "PEND", "interactiv", "", "two words"),
        parse.Job("320", "EXIT", "normal", "n002", ""),
    ]
    text = """\
batch system daemon not responding ... still trying
JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME
330     alice   RUN   interactive triton-login1 n002:n002:n001 a RUN  b   Nov 23 01:17
717     alice   PEND  normal     triton-login1    -        onlost     Nov 23 01:43
"""
    assert parse.jobs_columns(text) == [
        parse.Job("330", "RUN", "interactive", "n002", "a RUN  b"),
        parse.Job("717", "PEND", "normal", "", "onlost"),
    ]


def test_columns_that_nobody_understands_are_an_error_and_no_missing_job():
    heads = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n"
    with pytest.raises(LsfError, match="nobody understands"):
        parse.jobs_columns(heads + "330     alice   RUN   normal")


def test_recorded_absence_is_told_from_jobs_whatever_the_exit_code():
    for block in recorded(r"bjobs.*"):
        if re.match(r"No \w+ job found|Job <.*> is not found", block.stderr) and not block.stdout:
            assert parse.says_nothing_found(block.stderr)
        elif not block.stderr.startswith(("No ", "Job <")):
            assert not parse.says_nothing_found(block.stderr + block.stdout)


@pytest.mark.parametrize(
    "words",
    [
        "No unfinished job found",
        "No unfinished job found in queue <interactive>",
        "No unfinished job found on host/group <n001>\r",
        "No job found",
        "No running job found",
        "No pending job found",
        "No suspended job found",
        "No DONE/EXIT job found",
        "Job <99999> is not found",
        "Cannot connect to LSF. Please wait ...\nJob <99999> is not found",
    ],
)
def test_nothing_found_in_all_its_wordings(words):
    assert parse.says_nothing_found(words + "\n")


@pytest.mark.parametrize(
    "words", ["LSF is down. Please wait ...", "nosuch: No such queue", "Unable to open file lsf.conf"]
)
def test_trouble_is_not_taken_for_nothing_found(words):
    assert not parse.says_nothing_found(words)


def test_an_option_or_a_field_that_is_unknown_is_told_from_trouble():
    for block in recorded(r"bjobs (?:-X|-WL|-noheader|-h|-json.*|-o.*).*"):
        if "option" in block.stderr or "Usage" in block.stderr:
            assert parse.says_unknown_option(block.stderr)
            assert not parse.says_try_again(block.stderr)
        elif "valid field name" in block.stderr:
            assert parse.unknown_field(block.stderr) == re.search("<(.*?)>", block.stderr)[1].lower()
        else:
            assert not parse.says_unknown_option(block.stderr) and not parse.unknown_field(block.stderr)


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("Cannot connect to LSF. Please wait ...", True),
        ("batch system daemon not responding ... still trying", True),
        ("OpenLava daemon (LIM) not responding ... still trying", True),
        ("LSF daemon (LIM) not responding ... still trying", True),
        ("ls_getclustername(): LIM is down; try later", True),
        ("Cannot locate master LIM now, try later", True),
        ("Master LIM is down; try later", True),
        ("Connection refused by server", True),
        ("Request from non-LSF host rejected", True),
        ("Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer", True),
        ("Pending job threshold reached. Retrying in 60 seconds...", True),
        ("", False),
        # The last word counts, not those of the wait before.
        ("Cannot connect to LSF. Please wait ...\nnosuch: No such queue. Job not submitted.", False),
        ("Cannot connect to LSF. Please wait ...\nJob <7> is submitted to queue <short>.", False),
        ("batch system daemon not responding ... still trying\nNo unfinished job found", False),
        ("nosuch: No such queue", False),
        ("nosuch: No such queue. Job not submitted.\nAsk the help desk, or try later.", False),
        ("No such queue. Job not submitted.", False),
        ("User cannot use the queue. Job not submitted.", False),
        ("interactive: Queue has been closed. Job not submitted.", False),
        ("Queue does not accept interactive jobs. Job not submitted.", False),
        ("Queue only accepts interactive jobs. Job not submitted.", False),
        ("Too many processors requested. Job not submitted.", False),
        ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", False),
        ("Bad resource requirement syntax. Job not submitted.", False),
        ("Error in rusage section. Job not submitted.", False),
        ('Error near "select" : duplicate section. Job not submitted.', False),
        ("Request aborted by esub. Job not submitted.", False),
        ("User permission denied. Job not submitted.", False),
        ("User not in the specified user group. Job not submitted.", False),
        ("Failed in an LSF library call: External authentication failed. Job not submitted.", False),
        ("lsb_init: Failed in an LSF library call: Unable to open file lsf.conf. Job not submitted.", False),
    ],
)
def test_passing_trouble_is_told_from_refusal(words, again):
    assert parse.says_try_again(words) is again


def test_a_submission_that_was_cut_off_may_have_been_taken_and_is_not_repeated():
    words = "Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer"
    assert parse.says_try_again(words)
    assert not parse.says_try_again(words, unsent=True)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("Job <7> is being terminated", "ending"),
        ("Job <7> is being signaled\r", "ending"),
        ("Job <7> is being requeued", "ending"),
        ("Job <7>: Operation is in progress", "ending"),
        ("Job <7>: Job has already finished", "over"),
        ("Job <7>: No matching job found", "over"),
        ("Job <7>: User permission denied", ""),
        ("Job <77>: No matching job found", ""),
        ("", ""),
    ],
)
def test_a_kill_that_came_too_late_is_no_failure(words, verdict):
    assert parse.killed(words, "7") == verdict


def test_recorded_kills_by_words_and_not_by_exit_code():
    for block in recorded(r"bkill [1-9]\d*"):
        verdict = parse.killed(block.stdout + block.stderr, block.command.split()[1])
        if "still trying" not in block.stderr:
            assert verdict == (
                ""
                if "denied" in block.stderr
                else "ending"
                if block.code == 0 or "progress" in block.stderr
                else "over"
            )


def test_the_clusters_name_or_none():
    for block in recorded("lsid"):
        assert parse.cluster(block.stdout) == ("" if "LIM is down" in block.stderr else "triton")


def test_recorded_histories():
    for block in recorded(r"bhist -l \d+"):
        job_id = block.command.split()[-1]
        job = long.history(block.stdout, job_id)
        flat = re.sub(r"\n {21}", "", block.stdout)
        code = re.search(r": Exited with exit code (\d+)", flat)
        signal = re.search(r": Exited by signal (\d+)", flat)
        expected = code[1] if code else str(128 + int(signal[1])) if signal else ""
        stat = "EXIT" if expected else "DONE" if "Done successfully" in flat else "UNKWN"
        assert (job.id, job.stat, job.exit_code) == (job_id, stat, expected)
        assert (job.queue in ("interactive", "normal"), job.host in ("n001", "n002")) == (True, True)
        assert long.history(block.stdout, job_id + "0") is None


EVENTS = """
Job <7>, Job Name <Exited with exit code 3>, Job Description <slipway jupyter 0f>, User <ada>, Project <default>, Command <sleep 9>
Mon May  6 20:58:02: Submitted from host <login1>, to Queue <normal>, CWD <$HOME>;
Mon May  6 20:58:03: Dispatched to <t037>;
"""


@pytest.mark.parametrize(
    ("events", "ending"),
    [
        (["Done successfully. The CPU time used is 0.0 seconds;"], "DONE"),
        (["Exited with exit code 3. The CPU time used is 0.1 seconds;"], "EXIT, exit code 3"),
        (["Exited by signal 9. The CPU time used is 0.0 seconds;"], "EXIT, exit code 137"),
        (
            [
                "Exited with exit code 140. The CPU time used is 0.1 seconds;",
                "Completed <exit>; TERM_RUNLIMIT: job killed after reaching LSF run time limit.",
            ],
            "EXIT, exit code 140, TERM_RUNLIMIT: job killed after reaching LSF run time limit",
        ),
        (["Exited; TERM_OWNER: job killed by owner;"], "EXIT, TERM_OWNER: job killed by owner"),
        (["Exited with exit code 1.", "Pending: Job has been requeued;", "Dispatched to <t038>;"], "UNKWN"),
        (["Exited with exit code 1.", "Requeue;", "Starting (Pid 3);", "Done successfully."], "DONE"),
        (["Signal <KILL> requested by user or administrator <ada>;"], "EXIT, LSF was asked to end it"),
        (["Signal <KILL> requested by user or administrator <ada>;", "Requeue;", "Starting (Pid 3);"], "UNKWN"),
        (["Unknown; unable to reach the execution host;"], "UNKWN"),
        ([], "UNKWN"),
    ],
)
@pytest.mark.parametrize("year", ["", " 2026"])
def test_how_a_forgotten_job_ended(events, ending, year):
    job = long.history(EVENTS + "".join(f"Mon May  6 22:58:03{year}: {event}\n" for event in events), "7")
    assert job.ending == ending
    assert (job.description, job.queue) == ("slipway jupyter 0f", "normal")
    assert job.host == ("t038" if any("t038" in event for event in events) else "t037")


def test_recorded_details():
    for block in recorded(r"bjobs (?:-l|-UF)(?: \d+)?"):
        told = long.details(block.stdout)
        assert set(told) == set(re.findall(r"^Job (?:Id )?<(.*?)>", block.stdout, re.MULTILINE))
        for details in told.values():
            assert bool(details.pend_reason) == ("ING REASONS" in block.stdout) or len(told) > 1


def test_a_folded_text_is_whole_again_but_for_spaces():
    folded, whole = (lsf_recorded.said("openlava", f"bjobs {option} 361").stdout for option in ("-l", "-UF"))
    first = [re.sub("Job Id", "Job", long.unfold(text)).split("\n")[1].replace(" ", "") for text in (folded, whole)]
    assert first[0] == first[1]


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\n#BSUB -q normal\nexec x\n", "#BSUB -q normal\nexec x\n", "#!/bin/sh", ""]
)
def test_a_mark_in_the_script_is_found_in_the_command_that_lsf_shows_wherever_it_folds(script):
    marked = long.mark(script, "slipway jupyter 0123456789abcdef")
    assert [line for line in marked.split("\n") if "slipway" not in line] == script.split("\n")
    command = ";".join(marked.splitlines())[:235]
    for before in range(80):
        line = f"Job <7>, Job Name <{'x' * before}>, Status <RUN>, Command <{command}>"
        pieces = [line[:79], *(line[at : at + 58].lstrip() for at in range(79, len(line), 58))]
        assert (
            long.details(("\n" + " " * 21).join(pieces) + "\n")["7"].description == "slipway jupyter 0123456789abcdef"
        )
