# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands have in common: lsf.conf first, LSF's refusals on stderr with 255, no traceback at a ^C or a closed pipe."""

import os
import sys
import time
from importlib import import_module

from . import faults, fields, words
from .protocol import LsfError, NoConf, read_conf

FAILED = 255
LIBRARY = "lsb_init: Failed in an LSF library call: "


class Usage(Exception):
    """A wrong option: the text, then the usage."""


class Context:
    """What a command knows of its surroundings: lsf.conf, the personality, the fault switches."""

    def __init__(self, name: str):
        self.name, self.conf = name, read_conf()
        self.words = words.of(self.conf.get("LSF_DOUBLE_PERSONALITY", "lsf10"))
        self.faults = faults.Switches(self.conf["LSB_SHAREDIR"])
        self.on = self.faults.on()

    def hit(self, fault: str) -> dict | None:
        """The switch's values when it is on for this command and user."""
        if fault not in self.on:
            return None
        values = self.faults.values(fault)
        if values is None or values.get("command", self.name) != self.name:
            return None
        if "user" in values:
            import pwd

            return values if pwd.getpwuid(os.getuid()).pw_name == values["user"] else None
        return values

    def suffer(self) -> None:
        """The faults that come before a command has done anything."""
        if (clock := self.hit("clock")) is not None:
            fields.wrong_by = clock["seconds"]
        while self.hit("hang") is not None:
            time.sleep(0.2)
        if (wait := self.hit("wait")) is not None:
            print("Cannot connect to LSF. Please wait ...", file=sys.stderr, flush=True)
            time.sleep(wait.get("seconds", 1))
        tries = 0
        while self.hit("lim") is not None:
            if self.name == "lsid" and tries:
                print(self.words.VERSION + "\n", flush=True)
                raise LsfError("ls_getclustername(): LIM is down; try later")
            time.sleep(float(self.conf["LSB_API_CONNTIMEOUT"]))
            tries += 1
            if self.name != "lsid":
                print(self.words.LIM_AWAY, file=sys.stderr, flush=True)


def run(name: str) -> None:
    usage = words.Lsf10.USAGE[name]
    try:
        context = Context(name)
        usage = context.words.USAGE[name]
        if sys.argv[1:2] == ["-V"]:
            print(context.words.VERSION, file=sys.stdout if context.words.VERSION_ON_STDOUT else sys.stderr)
            code = 0
        else:
            context.suffer()
            refuse = context.hit("refuse")
            if refuse is not None:
                complain(refuse["text"])
                sys.exit(refuse.get("code", FAILED))
            code = import_module("lsfdouble." + name).main(sys.argv[1:], context)
        sys.stdout.flush()
    except Usage as wrong:
        code = complain(*filter(None, wrong.args), usage)
    except NoConf as error:  # LIM's library and LSBATCH's say it differently
        told = {"lsid": f"ls_initdebug: {error}", "bsub": f"{LIBRARY}{error}. Job not submitted."}
        code = complain(told.get(name, f"{LIBRARY}{error}"))
    except LsfError as error:
        code = complain(str(error))
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = FAILED
    sys.exit(code)


def complain(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return FAILED


def options(argv: list, context: Context) -> tuple:
    """({option: value or True}, rest). LSF's options are words after one dash, and may stand after job numbers too.
    Of an option given more than once the last one wins."""
    flags, valued = (known.split() for known in context.words.OPTIONS[context.name])
    found, rest = {}, []
    arguments = iter(argv)
    for word in arguments:
        name = word[1:]
        if not word.startswith("-") or word == "-":
            rest.append(word)
        elif name in flags:
            found[name] = True
        elif name in valued:
            found[name] = next(arguments, None)
            if found[name] is None:
                raise Usage(f"option requires an argument -- '{name}'")
        elif name == "h":
            raise Usage("")
        else:
            letter = next((letter for letter in name if letter not in flags + valued + ["W"]), name)
            raise Usage(context.words.UNKNOWN_OPTION.format(name=name, letter=letter, command=context.name))
    return found, rest


def job_ids(words_: list) -> list:
    for word in words_:
        if not word.isdigit():
            raise LsfError(f"{word}: Illegal job ID.")
    return [int(word) for word in words_]
