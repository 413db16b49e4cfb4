# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands have in common: lsf.conf first, LSF's refusals on stderr with 255, no traceback at a ^C or a closed pipe."""

import os
import sys

from . import words
from .protocol import LsfError, read_conf

FAILED = 255


class Usage(Exception):
    """A wrong option: the text, then the usage."""


def run(command, usage: str) -> None:
    try:
        if sys.argv[1:2] == ["-V"]:
            print(words.VERSION, file=sys.stderr)
            code = 0
        else:
            code = command(sys.argv[1:], read_conf())
        sys.stdout.flush()
    except Usage as wrong:
        code = complain(*filter(None, wrong.args), usage)
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


def options(argv: list, flags: str, valued: str) -> tuple:
    """({option: value or True}, rest). LSF's options are words after one dash, and may stand after job numbers too.
    A list of values: options given more than once are the caller's matter, the last one wins here."""
    flags, valued, found, rest = flags.split(), valued.split(), {}, []
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
            raise Usage(f"invalid option -- '{name}'")
    return found, rest


def job_ids(words_: list) -> list:
    for word in words_:
        if not word.isdigit():
            raise LsfError(f"{word}: Illegal job ID.")
    return [int(word) for word in words_]
