"""What two real LSF-compatible systems printed, recorded command by command: OpenLava 3.3.3 and volclava 2.2."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SYSTEMS = ("openlava", "volclava")

_BLOCK = re.compile(r"^```\n(\w+@\w+|\$)\$? (.*?)\n^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Recorded:
    """One command of the record, with its outputs and its exit code (None where the recorder cut it off)."""

    command: str
    stdout: str
    stderr: str
    code: int | None


@lru_cache
def recorded(system: str) -> tuple[Recorded, ...]:
    """All commands of a system, in order."""
    text = (Path(__file__).with_name("lsf_transcripts") / f"{system}.md").read_text()
    return tuple(_read(found[2]) for found in _BLOCK.finditer(text) if "\n--- " in found[2])


def said(system: str, command: str, nth: int = 0) -> Recorded:
    """The ``nth`` record of this very command."""
    return [block for block in recorded(system) if block.command == command][nth]


def _read(block: str) -> Recorded:
    parts = re.split(r"^--- (stdin|end of stdin|stdout|stderr|exit|TIMED OUT)(.*)\n?", block + "\n", flags=re.MULTILINE)
    texts = dict(zip(parts[1::3], parts[3::3], strict=True))
    codes = [rest for name, rest in zip(parts[1::3], parts[2::3], strict=True) if name == "exit"]
    code = int(codes[0].split()[0]) if codes else None
    return Recorded(parts[0].strip(), texts.get("stdout", ""), texts.get("stderr", ""), code)
