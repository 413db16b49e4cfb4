# SPDX-License-Identifier: GPL-3.0-or-later
"""The double's other personalities beside recordings of the real systems: each command of ours, and what was done to the daemons."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from lsf_cluster import Cluster, until
from lsf_transcripts import SYSTEMS, TIMED_OUT, Step, normal, recorded

KNOWN = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text())
README = Path(__file__).parents[2] / "molecule/resources/lsf/README.md"
OURS = re.compile(r"(^|; |\| |^\S+=\S* |^cd \S+ && )(lsid|b(sub|jobs|hist|kill|stop|resume|queues|hosts|admin))\b")
LOOKS = re.compile(
    r"(.*; )?(\S+=\S* )*(env \S+ \S+ )?(bjobs|bhist|bqueues|bhosts|cat|bstop|bkill -s)\b"
)  # may be asked again until it is as it was
PATIENCE = 8.0  # seconds for a job to get where it was in the recording
CLUSTER = {
    "master": "triton-login1",
    "first_job_id": 7001,
    "short_hostlist": False,
    "unknown_after": 600,  # a host is lost by the fault `unknown`
    "dispatch_interval": 0.2,
    "terminate_interval": 30,  # until section 12
    "retry_interval": 1,
    "hosts": {"n001": {"slots": 4}, "n002": {"slots": 4}, "triton-login1": {"slots": 2}},
    "queues": {
        "staff": {"priority": 50, "users": ["bob", "all"]},
        "interactive": {
            "priority": 40,
            "description": "Notebooks and shells.",
            "runlimit_minutes": 480,
            "jobs_per_user": 4,
        },
        "normal": {"priority": 30, "default": True, "runlimit_minutes": 60},
        "batchonly": {"priority": 20, "interactive": "no"},
    },
}
for queue in CLUSTER["queues"].values():
    queue["hosts"] = ["n002", "n001"]
RIGS = {
    "killd n002 sbatchd": lambda replay: replay.prepare("@running\n@stop n002"),
    "daemon n002 sbatchd": lambda replay: replay.prepare("@start n002"),
    "killd login1 sbatchd": lambda replay: replay.prepare("@running"),  # the real one would start mbatchd again
    "killd login1 mbatchd": lambda replay: replay.lsf.fault("mbatchd", "on"),
    "daemon login1 sbatchd": lambda replay: replay.lsf.fault("mbatchd", "off"),
    "killd login1 lim": lambda replay: replay.prepare("bkill -r 0") or replay.lsf.fault("lim", "on"),
    "daemon login1 lim": lambda replay: replay.lsf.fault("lim", "off"),
    "n002 killed": lambda replay: replay.prepare("@running") or replay.lsf.fault("unknown", "on", "host=n002"),
}


class Replay:
    """A recording, played on a cluster of its own by one person, who is alice and the administrator."""

    def __init__(self, system: str, folder: Path) -> None:
        self.known = KNOWN[system]
        self.lsf = Cluster(folder, personality=system, units=self.known["units"], **CLUSTER)
        self.lsf.start("master", *CLUSTER["hosts"])
        until(lambda: self.lsf("bhosts").stdout.count(" ok ") == 3)
        for name in ("work", "w2", "w3", "bin"):
            (self.lsf.home / name).mkdir()
        hostname = self.lsf.home / "bin/hostname"  # of the job's host, all of which are this machine
        hostname.write_text("#!/bin/sh\necho $HOSTNAME\n")
        hostname.chmod(0o755)
        self.lsf.env["PATH"] = f"{self.lsf.home}/bin:{self.lsf.dest}/etc:{self.lsf.env['PATH']}"
        self.ours: dict[str, str] = {}  # recorded number -> the double's
        self.user = os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()
        self.before = [(re.compile(pattern), script) for pattern, script in self.known["before"]]

    def here(self, text: str) -> str:
        text = text.replace("/home/alice", str(self.lsf.home)).replace("/opt/lsf/bin", f"{self.lsf.dest}/10.1/bin")
        return re.sub(r"\balice\b", self.user, text)

    def reason(self, step: Step, kind: str) -> str | None:
        for entry in self.known[kind]:
            for pattern in entry["commands"]:
                if re.search(pattern, f"{step.section} {step.who}@{step.host} {step.command}"):
                    return pattern
        return None

    def play(self, step: Step, patience: float) -> str:
        """What differs, or ""."""
        command = self.renumbered(self.here(step.command)).replace("; bjobs", "; sleep 0.7; bjobs")
        until_then = time.monotonic() + (patience if LOOKS.match(step.command) and "bsub" not in step.command else 0)
        while True:
            code, out, err = self.run(command, step)
            self.learn(step.stdout, out)
            difference = self.difference(step, code, out, err)
            if not difference or time.monotonic() > until_then:
                return difference
            time.sleep(0.1)

    def renumbered(self, command: str) -> str:
        """With the double's job numbers, where a command takes job numbers."""
        number = re.compile(r"(?<=[ \"])\d+(?=$|[ \"])")
        return re.sub(
            r"\bb(jobs|hist|kill|stop|resume) [^;|]*",
            lambda part: number.sub(lambda match: self.ours.get(match[0], match[0]), part[0]),
            command,
        )

    def prepare(self, script: str) -> None:
        """What happened between two recorded commands. `N=bsub ...`: the job that the recording calls N; `@running`: no job
        is pending; `@stop` and `@start HOST`; `@terminate_interval N`: in the cluster's configuration, for which the master restarts."""
        for line in script.splitlines():
            number, _, command = line.partition("=")
            if line == "@running":
                until(lambda: " PEND " not in self.lsf("bjobs", "-w").stdout)
            elif line.startswith(("@stop ", "@start ")):
                getattr(self.lsf, line[1:].split()[0])(line.split()[1])
            elif line.startswith("@"):
                key, value = line[1:].split()
                file = self.lsf.dest / "conf/cluster.json"
                file.write_text(json.dumps(json.loads(file.read_text()) | {key: float(value)}))
                self.lsf.stop("master")
                self.lsf.start("master")
                until(lambda: self.lsf("bhosts").stdout.count("\n") == 4)
            elif number.isdigit():
                self.ours[number] = re.search(r"Job <(\d+)>", self.lsf("bash", "-c", self.here(command)).stdout)[1]
            else:
                self.lsf("bash", "-c", self.renumbered(self.here(line)))

    def run(self, command: str, step: Step) -> tuple[int, list[str], list[str]]:
        limit = 1.7 if step.code == TIMED_OUT else 30.0
        process = subprocess.Popen(
            ["bash", "-c", command], env=self.lsf.env, cwd=self.lsf.home, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = process.communicate(self.here(step.stdin), timeout=limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            code = TIMED_OUT
        return code, out.splitlines(), err.splitlines()

    def learn(self, expected: list[str], actual: list[str]) -> None:
        """Which number of the double's stands for which recorded one."""
        submitted = re.compile(r"Job <(\d+)> is submitted")
        pairs = zip(submitted.findall("\n".join(expected)), submitted.findall("\n".join(actual)), strict=False)
        self.ours.update(pairs)

    def difference(self, step: Step, code: int, out: list[str], err: list[str]) -> str:
        theirs = {ours: recorded for recorded, ours in self.ours.items()}
        found = [] if code == step.code else [f"exit {code} instead of {step.code}"]
        for name, expected, got in (("stdout", step.stdout, out), ("stderr", step.stderr, err)):
            expected = [line for line in expected if " arr[" not in line]  # no job arrays here
            got = [
                re.sub(rf"\b({os.uname().nodename}|{os.uname().nodename[:11]})(?=\s|>)", "triton-login1", line)
                for line in got
            ]
            wanted, had = normal(expected, {}, self.here), normal(got, theirs)
            if step.code == TIMED_OUT:
                wanted, had = sorted(set(wanted)), sorted(set(had))
            if wanted != had:
                only = [f"+ {line}" for line in had if line not in wanted] + [
                    f"- {line}" for line in wanted if line not in had
                ]
                found.append("\n".join([f"{name}:", *(only or ["the same lines, another number of times"])]))
        return "\n".join(found)

    def end(self) -> None:
        self.lsf.fault("off")
        self.lsf.start(*set(CLUSTER["hosts"]) - set(self.lsf.processes))
        self.lsf("bkill", "-r", "0")
        try:
            until(lambda: not list((self.lsf.dest / "work/hosts").glob("*/*")))  # every job's processes are gone
        finally:
            self.lsf.stop(*list(self.lsf.processes))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_jobs_life_is_told_as_it_was(system, tmp_path):
    play(system, tmp_path, ("1", "2", "3", "4"))


@pytest.mark.full
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_recorded_commands_are_answered_as_they_were(system, tmp_path):
    listed = {
        pattern for kind in ("differs", "left_out") for entry in KNOWN[system][kind] for pattern in entry["commands"]
    }
    assert listed == play(system, tmp_path), "these entries are no longer needed"


def test_the_readme_gives_every_reason():
    reasons = {entry["why"] for known in KNOWN.values() for kind in ("differs", "left_out") for entry in known[kind]}
    assert [reason for reason in sorted(reasons) if f"| {reason} |" not in README.read_text()] == []


def play(system: str, tmp_path: Path, sections: tuple = ()) -> set:
    """All that was recorded, or some sections. Returns the entries of the list that were needed."""
    replay = Replay(system, tmp_path)
    equal, unequal, needed = 0, [], set()
    try:
        for step in recorded(system):
            if sections and step.section not in sections:
                continue
            if step.rig:
                RIGS[step.rig](replay)
                continue
            if not OURS.search(step.command) and not step.command.startswith(("cat ", "cd ", "mkdir ")):
                continue
            if pattern := replay.reason(step, "left_out"):
                needed.add(pattern)
                continue
            for pair in replay.before:
                if pair[0].search(f"{step.section} {step.command}"):
                    replay.before.remove(pair)
                    replay.prepare(pair[1])
                    break
            pattern = replay.reason(step, "differs")
            difference = replay.play(step, 0.5 if pattern or sum(map(bool, unequal)) > 3 else PATIENCE)
            if not difference:
                equal += 1
                continue
            unequal.append(f"## {step.section}\n$ {step.command}\n{difference}")
            if pattern:
                needed.add(pattern)
                unequal[-1] = ""
    finally:
        replay.end()
    print(f"{system}: {equal} equal, {len(unequal)} not")  # with -s
    surprises = [text for text in unequal if text]
    assert not surprises, f"{len(surprises)} answers differ:\n\n" + "\n\n".join(surprises)
    assert equal >= 0.95 * (equal + len(unequal))
    return needed
