# SPDX-License-Identifier: GPL-3.0-or-later
"""bsub: batch from stdin or a command line, -K, and -I/-Ip/-Is in the foreground."""

import os
import sys

from .cli import Usage, complain
from .faults import BANNER, ESUB
from .protocol import Conversation, LsfError

INTERACTIVE = {"I", "Ip", "Is"}
FLAGS = {"K", "r", "rn", "H"}
VALUED = {"J", "Jd", "q", "P", "n", "R", "m", "M", "W", "o", "oo", "e", "eo", "cwd"}


def main(argv: list, context) -> int:
    words = context.words
    if (esub := context.hit("esub")) is not None:
        complain(esub.get("text", ESUB))
        return 0
    try:
        found, command = parse(argv, words)
        if command:
            script = " ".join(command)
        else:
            script = _stdin()
            found = embedded(script, words) | found  # the command line wins
        if not script.strip():
            raise LsfError(words.REFUSED["no_command"])
        return Submission(found, script, bool(command), context).run()
    except LsfError as error:
        return complain(f"{error}. Job not submitted.")


def parse(argv: list, words) -> tuple:
    """(options, command): options end at the first word that is none. -R may come several times."""
    found, at = {}, 0
    while at < len(argv) and argv[at].startswith("-"):
        name = argv[at][1:]
        at += 1
        if name in INTERACTIVE:
            found["mode"] = name
        elif name in FLAGS:
            found[name] = True
        elif name == "h":
            raise Usage("")
        elif name not in VALUED:
            raise _wrong(words, words.ILLEGAL_OPTION.format(name=name))
        elif at == len(argv):
            raise _wrong(words, f"bsub: option requires an argument -- {name}")
        else:
            found[name] = [*found.get("R", []), argv[at]] if name == "R" else argv[at]
            at += 1
    return found, argv[at:]


def _wrong(words, text: str) -> Exception:
    return Usage(text) if words.OPTION_ERROR_WITH_USAGE else LsfError(text + "\n")


def embedded(script: str, words) -> dict:
    """The options of a script's #BSUB lines, which must begin their line."""
    import shlex

    argv = []
    for line in script.splitlines():
        if line.startswith("#") and line[1:].lstrip(" \t").startswith(("BSUB ", "BSUB\t")):
            argv += shlex.split(line.lstrip("# \t")[4:], comments=True)
    return parse(argv, words)[0]


def _stdin() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read().decode(errors="surrogateescape").replace("\r\n", "\n")
    lines = []
    try:
        while True:
            lines.append(input("bsub> "))
    except EOFError:
        return "\n".join(lines)


class Submission:
    def __init__(self, found: dict, script: str, on_line: bool, context):
        self.context, self.conf, self.script = context, context.conf, script
        self.waits, self.mode = "K" in found, found.get("mode", "")
        if self.waits and self.mode:
            raise Usage("")
        self.env = dict(os.environ)
        command = script if on_line else ";".join(script.splitlines())
        mask = os.umask(0)
        os.umask(mask)
        self.wish = {
            "name": found.get("J", command),
            "description": found.get("Jd", ""),
            "command": command,
            "project": found.get("P", os.environ.get("LSB_DEFAULTPROJECT", "default")),
            "q": found.get("q", os.environ.get("LSB_DEFAULTQUEUE", "")),
            "n": found.get("n", ""),
            "R": found.get("R", []),
            "m": found.get("m", ""),
            "M": found.get("M", ""),
            "W": found.get("W", ""),
            "output": found.get("oo") or found.get("o", ""),
            "error": found.get("eo") or found.get("e", ""),
            "output_replaces": "oo" in found,
            "error_replaces": "eo" in found,
            "from_host": os.uname().nodename,
            "cwd": os.path.join(_folder(), found.get("cwd", "")).rstrip("/") or "/",
            "umask": mask,
            "rerunnable": "r" in found,
            "held": "H" in found,
            "mode": self.mode,
            "tty": os.isatty(0) and os.isatty(1),
        }

    def run(self) -> int:
        if not self.mode:
            return self._wait(self._submit()) if self.waits else self._submit() and 0
        from .niosd import Listener  # only -I pays for its imports

        with Listener(self.conf) as listener:
            self.wish["nios"] = listener.path
            return listener.serve(self._submit(), self.mode != "I" and self.wish["tty"])

    def _submit(self) -> int:
        conversation = Conversation(
            self.conf, {"op": "submit", "job": self.wish, "script": self.script, "env": self.env}
        )
        answer = conversation.answer()
        conversation.close()
        if "refused" in answer:
            raise LsfError(self.context.words.REFUSED[answer["refused"]].format(*answer["values"]))
        queue = (
            f"default queue <{answer['queue']}>"
            if answer["default"] and not self.wish["q"]
            else f"queue <{answer['queue']}>"
        )
        to = sys.stdout
        if os.environ.get("BSUB_STDERR") or self.context.hit("stderr") is not None:
            to = sys.stderr
        if (banner := self.context.hit("banner")) is not None:
            print(banner.get("text", BANNER), file=to)
        print(f"Job <{answer['id']}> is submitted to {queue}.", file=to, flush=True)
        if self.mode or self.waits:
            print("<<Waiting for dispatch ...>>", file=sys.stderr, flush=True)
        return answer["id"]

    def _wait(self, id: int) -> int:
        """-K: the job's exit code, over restarts of the master."""
        while True:
            try:
                end = Conversation(self.conf, {"op": "wait", "id": id}).answer()
                break
            except LsfError:
                if "LSB_NTRIES" in os.environ:
                    raise
        print("<<Job is finished>>" if end["started"] else "<<Terminated while pending>>", file=sys.stderr)
        return end["code"] if end["started"] else 126


def _folder() -> str:
    """The folder as the user sees it: $PWD keeps the names of links, where it is the same place."""
    here, shown = os.getcwd(), os.environ.get("PWD", "")
    return shown if shown and os.path.realpath(shown) == here else here
