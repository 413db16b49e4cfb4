# SPDX-License-Identifier: GPL-3.0-or-later
"""The conda command: how it is run, asked and understood. It holds for 23.10 as for 26.7, and for mamba in a conda base.

What conda did is judged by its exit code and by the records before and after, never by its words: those change from
version to version. They are passed on to the reader.
"""

import contextlib
import glob
import json
import os
import platform
import re
import signal
import subprocess
import time

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.specs import FIELDS, QUESTION

#: Seconds for conda to take a transaction back, once it was told to end.
GRACE = 30

#: The first version whose explicit lists may have sha256 hashes.
SHA256 = (24, 9)

#: A variable of the shell that the run came from must not decide what conda does; its settings belong into a condarc.
STRANGE = ("CONDA", "_CE_", "MAMBA", "PYTHON")

#: What conda must not do unasked: a revision that it wrote into ~/.conda/environments.txt would be listed for ever (since 23.9).
SETTINGS = {"CONDA_REGISTER_ENVS": "false"}

#: What helps, by what is found in conda's words; the first that fits. Only advice hangs on it.
REMEDIES = [
    (
        r"[Ii]nvalid (package|match) ?spec|InvalidMatchSpec",
        "write name, name=version or 'name>=version,<version' as for `conda install`",
    ),
    (
        r"Could not parse explicit URL",
        "give the lock md5 hashes (conda knows sha256 since 24.9), or update conda",
    ),
    (
        r"HTTP \d|CONNECTION|InvalidChannel|Offline|offline",
        "check the channels ({channels}), and that this host reaches them (network, proxy, mirror)",
    ),
    (
        r"Checksum",
        "run again; if it stays, empty the package cache (conda clean --packages) and tell the channel's owner",
    ),
    (
        r"NotWritable|[Pp]ermission|No space|[Qq]uota",
        "make room, or choose a prefix and a package cache (pkgs_dirs in ~/.condarc) in a folder of yours",
    ),
    (
        r"NotFound|not available|nothing provides|No candidates",
        "check each name and version that conda names; a channel ({channels}) must have it for this architecture ({machine})",
    ),
    (
        r"Unsatisfiable|incompatible|conflict",
        "loosen or take away one of the pins that conda names, or add a channel ({channels}) with fitting builds for {machine}",
    ),
    (r"", "run the command by hand on this host; with -v instead of --json it says more"),
]


IMPORTS = """\
import importlib, sys
for name in sys.argv[1:]:
    print(name, flush=True)
    importlib.import_module(name)
"""


def environment(settings=None):
    """The variables that a command gets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    every = {**kept, **SETTINGS, **(settings or {}), "LC_ALL": "C"}
    return {name: value for name, value in every.items() if value is not None}


def execute(argv, deadline, stdin="", keep=(), settings=None, job=None):
    """Runs a command that can't ask anything, until the deadline; the one place where commands are run.

    Args:
        argv: The command.
        deadline: In the time of ``time.monotonic``.
        stdin: What it reads.
        keep: File descriptors that it inherits: with the lock among them, a conda that survives a killed run still holds the prefix.
        settings: Further variables; one without a value is taken away.
        job: Where it runs, if not here: the queue and limits of an LSF job.

    Returns:
        Exit code, standard output, standard error.

    Raises:
        CondaEnvError: it can't be started, or was ended at the deadline.
    """
    if job:
        from ansible.module_utils.conda_env.job import run_as_job  # it needs an LSF

        return run_as_job(argv, environment(settings), deadline, stdin, job)
    try:
        # It leads a process group of its own, so that its children end with it.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            cwd="/",
            env=environment(settings),
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise CondaEnvError(
            f"{argv[0]} can't be run: {error.strerror}.", "install or repair it", command=argv
        ) from error
    began = time.monotonic()
    try:
        out, err = process.communicate(stdin, timeout=max(1, deadline - began))
    except subprocess.TimeoutExpired:
        kind, out, err = end(process)
        raise CondaEnvError(
            "{} did not end in time; it was ended after {:.0f} s.".format(" ".join(argv[:2]), time.monotonic() - began),
            "raise the timeout; if it was downloading, the next run goes on with what it has",
            command=argv,
            rc=-kind,  # whatever it made of the signal
            stdout=out,
            stderr=err,
        ) from None
    return process.returncode, out, err


def end(process):
    """Ends a process group: gently, then by force. Returns the signal that it took, and what it had written."""
    for kind, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return (kind, *process.communicate(timeout=patience))
    return kind, "", ""


def answer(out):
    """The JSON object that conda wrote, or an empty one. Some commands write none although asked to."""
    try:
        found = json.loads(out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def words(out, err):
    """What conda says about its failure: in JSON (one error, or several), else in plain text."""
    said = answer(out)
    errors = [error for error in said.get("errors") or [said] if isinstance(error, dict)]
    text = "\n".join(str(error.get("error") or error.get("message") or "") for error in errors).strip()
    lines = (text or err.strip() or out.strip() or "nothing").splitlines()
    # Twenty conflicts help as much as two thousand; the whole text is in stdout and stderr.
    return "\n".join([*lines[:40], *(["..."] if len(lines) > 40 else [])])


def advice(said, channels=()):
    """What helps against that."""
    found = next(remedy for pattern, remedy in REMEDIES if re.search(pattern, said))
    return found.format(channels=", ".join(channels) or "those of ~/.condarc", machine=platform.machine())


def planned(lines, said):
    """The package lines after a dry run's actions."""
    actions = said.get("actions", {})
    unlinked, linked = (
        {"{name} {version} {build_string}".format(**package) for package in actions.get(kind, [])}
        for kind in ("UNLINK", "LINK")
    )
    return sorted((set(lines) - unlinked) | linked)


class Conda:
    """One conda base, and how it is asked for an environment's packages."""

    def __init__(self, executable, channels, deadline, offline=False, job=None):
        self.executable, self.channels, self.deadline = executable, channels, deadline
        self.offline, self.job = offline, job
        self.command = []
        self.root = os.path.dirname(os.path.dirname(os.path.realpath(executable)))

    @property
    def there(self):
        """Whether the command and its base's Python exist."""
        return all(os.access(file, os.X_OK) for file in (self.executable, os.path.join(self.root, "bin", "python")))

    @property
    def version(self):
        """Major and minor number, by the base's records; nothing if they don't say."""
        found = glob.glob(os.path.join(glob.escape(self.root), "conda-meta", "conda-[0-9]*.json"))
        return tuple(map(int, re.findall(r"\d+", os.path.basename(found[0]))[:2])) if found else ()

    def judge(self, wanted, records, copied=()):
        """What the records lack of the specs and have beside them, by conda's own idea of a match.

        Returns:
            As `specs.compare`.

        Raises:
            CondaEnvError: a spec can't be understood, or conda's base is broken.
        """
        fields = [{key: record[key] for key in FIELDS if record.get(key) is not None} for record in records]
        asked = {"wanted": wanted, "records": fields, "copied": sorted(copied)}
        argv = [os.path.join(self.root, "bin", "python"), "-I", "-c", QUESTION]
        rc, out, err = execute(argv, self.deadline, stdin=json.dumps(asked))
        found = answer(out)
        if rc or "missing" not in found:
            raise CondaEnvError(
                "The conda base {} can't compare packages (exit code {}): {}".format(
                    self.root, rc, words("", err or out)
                ),
                f"repair or reinstall that base; `{argv[0]} -c 'import conda'` must work",
                command=argv[:2],
                rc=rc,
                stdout=out,
                stderr=err,
            )
        if found["invalid"]:
            said = [f"{spec!r}: {why}" for spec, why in found["invalid"].items()]
            raise CondaEnvError(
                "Not understood by conda as package specs: {}.".format("; ".join(said)),
                "write name, name=version or 'name>=version,<version' as in `conda install`",
            )
        return found

    def copy(self, prefix, explicit, keep=()):
        """Makes an environment of exactly the files that an explicit list names. No solver runs.

        Raises:
            CondaEnvError: it failed, or the list has hashes that this conda does not know.
        """
        with open(explicit, encoding="utf-8") as file:
            if self.version and self.version < SHA256 and re.search(r"#[0-9a-f]{64}$", file.read(), re.MULTILINE):
                raise CondaEnvError(
                    "The list of packages has sha256 hashes: conda knows them since {}.{}, and {} has {}.{}.".format(
                        *SHA256, self.root, *self.version
                    ),
                    "give the lock md5 hashes (conda list --explicit --md5), or update conda",
                )
        self._change("create", prefix, ["--file", explicit], keep, job=self.job)

    def solve(self, verb, prefix, specs, options=(), dry_run=False, keep=()):
        """Runs ``conda create`` or ``conda install`` for specs. Returns its JSON answer."""
        # A named channel replaces the condarc's: else `-c` alone would add Anaconda's defaults where no condarc names any.
        channels = ["--override-channels"] if self.channels else []
        channels += [word for channel in self.channels for word in ("-c", channel)]
        dry = ["--dry-run"] if dry_run else []
        return self._change(verb, prefix, [*dry, *options, *channels, *specs], keep, job=None if dry_run else self.job)

    def _change(self, verb, prefix, arguments, keep, job=None):
        # --quiet is for the JSON: without it, older versions write their progress between.
        self.command = [self.executable, verb, "-p", prefix, "--yes", "--json", "--quiet"]
        self.command += [*(["--offline"] if self.offline else []), *arguments]
        rc, out, err = execute(self.command, self.deadline, keep=keep, job=job)
        if rc:
            said = words(out, err)
            raise CondaEnvError(
                f"conda {verb} failed for {prefix} (exit code {rc}): {said}",
                advice(said, self.channels),
                command=self.command,
                rc=rc,
                stdout=out,
                stderr=err,
            )
        return answer(out)

    def try_imports(self, prefix, modules, keep=()):
        """Imports each module with the environment's own Python. Nothing is written there.

        Raises:
            CondaEnvError: one can't be imported; the message says which and why.
        """
        if not modules:
            return
        argv = [os.path.join(prefix, "bin", "python"), "-IB", "-c", IMPORTS, *modules]
        rc, out, err = execute(argv, self.deadline, keep=keep)
        if rc:
            module = (out.split() or ["?"])[-1]
            why = (err.strip().splitlines() or [f"it was ended by signal {-rc}"])[-1]
            raise CondaEnvError(
                f"`import {module}` fails in the environment {prefix}: {why}",
                f"pin or change the package that fails, since it doesn't fit this machine ({platform.machine()}) or the others; "
                "or take it out of imports",
                command=argv[:2] + modules,
                rc=rc,
                stdout=out,
                stderr=err,
            )
