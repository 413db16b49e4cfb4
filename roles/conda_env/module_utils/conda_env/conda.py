# SPDX-License-Identifier: GPL-3.0-or-later
"""The conda command: how it is run, asked and understood. It holds for 23.10 as for 26.7, and for mamba in a conda base.

What conda did is judged by its exit code and by the records before and after, never by its words: those change from
version to version. They are passed on to the reader.
"""

import contextlib
import inspect
import json
import os
import platform
import re
import signal
import subprocess
import time

from ansible.module_utils.conda_env import CondaEnvError

#: Seconds for conda to take a transaction back, once it was told to end.
GRACE = 30

#: A variable of the shell that the run came from must not decide what conda does; its settings belong into a condarc.
STRANGE = ("CONDA", "_CE_", "MAMBA", "PYTHON")

#: The fields of a record that a match spec may name, and its dependencies.
FIELDS = ("name", "version", "build", "build_number", "channel", "subdir", "url", "fn", "md5", "sha256", "depends")

#: What helps, by what is found in conda's words; the first that fits. Only advice hangs on it.
REMEDIES = [
    (
        r"[Ii]nvalid (package|match) ?spec|InvalidMatchSpec",
        "write name, name=version or 'name>=version,<version' as for `conda install`",
    ),
    (
        r"HTTP \d|CONNECTION|InvalidChannel|Offline",
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


def unsatisfied(match_spec, wanted, records):
    """What is missing for the wanted specs: the specs themselves, and what the packages they find depend on.

    Packages that nobody asked for, and theirs, are their owner's business. This function travels as source text to the
    Python of conda's base, so it needs nothing but its arguments.

    Args:
        match_spec: conda's class MatchSpec.
        wanted: the specs as texts.
        records: the installed packages' records.

    Returns:
        ``invalid``, a dict of specs and what conda says about them; ``missing``, a list of specs in the order asked.
    """
    named = {record["name"]: record for record in records}
    invalid, missing, seen, queue = {}, [], set(), list(wanted)
    while queue:
        text = queue.pop(0)
        if text in seen or text.startswith("__"):  # a virtual package is the machine's, such as __glibc
            continue
        seen.add(text)
        try:
            spec = match_spec(text)
        except Exception as error:  # conda's own class, which differs between versions
            invalid[text] = str(error)
            continue
        name = spec.name.lower()
        candidates = records if "*" in name else [named[name]] if name in named else []
        found = next((record for record in candidates if spec.match(record)), None)
        if found:
            queue.extend(found.get("depends", []))
        else:
            missing.append(text)
    return {"invalid": invalid, "missing": missing}


QUESTION = """\
import json, sys
from conda.models.match_spec import MatchSpec

{source}
asked = json.load(sys.stdin)
print(json.dumps(unsatisfied(MatchSpec, asked["wanted"], asked["records"])))
"""

IMPORTS = """\
import importlib, sys
for name in sys.argv[1:]:
    print(name, flush=True)
    importlib.import_module(name)
"""


def environment():
    """The variables that a command gets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    return dict(kept, LC_ALL="C")


def execute(argv, deadline, stdin="", keep=()):
    """Runs a command that can't ask anything, until the deadline; the one place where commands are run.

    It leads a process group of its own, so that its children end with it. ``keep`` are file descriptors it inherits: with the
    lock among them, a conda that survives a killed run still holds the prefix.

    Returns:
        Exit code, standard output, standard error.

    Raises:
        CondaEnvError: it can't be started, or was ended at the deadline.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            cwd="/",
            env=environment(),
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise CondaEnvError(f"{argv[0]} can't be run: {error.strerror}.", "install or repair it", command=argv)
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
        )
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


def planned(lines, said):
    """The package lines after a dry run's actions."""
    actions = said.get("actions", {})
    unlinked, linked = (
        {"{name} {version} {build_string}".format(**package) for package in actions.get(kind, [])}
        for kind in ("UNLINK", "LINK")
    )
    return sorted((set(lines) - unlinked) | linked)


class Conda:
    """One conda base, for one environment."""

    def __init__(self, executable, channels, deadline):
        self.executable = executable
        self.channels = channels
        self.deadline = deadline
        self.command = []
        self.root = os.path.dirname(os.path.dirname(os.path.realpath(executable)))

    @property
    def there(self):
        """Whether the command and its base's Python exist."""
        return all(os.access(file, os.X_OK) for file in (self.executable, os.path.join(self.root, "bin", "python")))

    def missing(self, wanted, records):
        """Which specs the records don't satisfy, by conda's own idea of a match.

        Raises:
            CondaEnvError: a spec can't be understood, or conda's base is broken.
        """
        fields = [{key: record[key] for key in FIELDS if record.get(key) is not None} for record in records]
        question = QUESTION.format(source=inspect.getsource(unsatisfied))
        argv = [os.path.join(self.root, "bin", "python"), "-I", "-c", question]
        rc, out, err = execute(argv, self.deadline, stdin=json.dumps({"wanted": wanted, "records": fields}))
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
        return found["missing"]

    def change(self, verb, prefix, specs, dry_run=False, keep=()):
        """Runs ``conda create`` or ``conda install``. Returns its JSON answer.

        ``--quiet`` is for the JSON: without it, older versions write their progress between.

        Raises:
            CondaEnvError: it failed; the message has conda's own words.
        """
        argv = [self.executable, verb, "-p", prefix, "--yes", "--json", "--quiet"]
        argv += ["--dry-run"] if dry_run else []
        # A named channel replaces the condarc's: else `-c` alone would add Anaconda's defaults where no condarc names any.
        argv += ["--override-channels"] if self.channels else []
        argv += [word for channel in self.channels for word in ("-c", channel)]
        self.command = argv + specs
        rc, out, err = execute(self.command, self.deadline, keep=keep)
        if rc:
            said = words(out, err)
            advice = next(advice for pattern, advice in REMEDIES if re.search(pattern, said))
            raise CondaEnvError(
                f"conda {verb} failed for {prefix} (exit code {rc}): {said}",
                advice.format(channels=", ".join(self.channels) or "those of ~/.condarc", machine=platform.machine()),
                command=self.command,
                rc=rc,
                stdout=out,
                stderr=err,
            )
        return answer(out)

    def try_imports(self, prefix, modules, keep=()):
        """Imports each module with the environment's own Python.

        Raises:
            CondaEnvError: one can't be imported; the message says which and why.
        """
        if not modules:
            return
        argv = [os.path.join(prefix, "bin", "python"), "-I", "-c", IMPORTS, *modules]
        rc, out, err = execute(argv, self.deadline, keep=keep)
        if rc:
            module = (out.split() or ["?"])[-1]
            why = (err.strip().splitlines() or [f"it was ended by signal {-rc}"])[-1]
            raise CondaEnvError(
                f"The environment {prefix} is installed, but `import {module}` fails in it: {why}",
                f"pin or change the package that fails, since it doesn't fit this machine ({platform.machine()}) or the others; "
                "or take it out of imports",
                command=argv[:2] + modules,
                rc=rc,
                stdout=out,
                stderr=err,
            )
