# SPDX-License-Identifier: GPL-3.0-or-later
"""How what is installed compares with what is asked."""

from dataclasses import dataclass, field

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.request import spec_name


@dataclass
class Verdict:
    """What an environment lacks, and what it has beside. Where all of it is empty nothing needs to be done."""

    lacking: list = field(default_factory=list)  # specs that conda must find packages for
    unlocked: list = field(default_factory=list)  # packages of the lock that are not there exactly so
    surplus: list = field(default_factory=list)  # conda's packages that are not to be there
    corrupted: list = field(default_factory=list)  # packages whose records say nothing
    pip_lacking: list = field(default_factory=list)  # requirements
    pip_surplus: list = field(default_factory=list)  # pip's packages that are not to be there
    lost: list = field(default_factory=list)  # packages whose files are gone
    broken: str = ""  # the import that fails

    @property
    def fits(self):
        """Whether it is as asked."""
        return not any(vars(self).values())

    @property
    def missing(self):
        """What is not there, for people."""
        broken = [self.broken] if self.broken else []
        return [*self.lacking, *self.unlocked, *self.corrupted, *self.pip_lacking, *self.lost, *broken]

    @property
    def for_conda(self):
        """Whether conda has anything to do."""
        return bool(self.lacking or self.unlocked or self.surplus or self.corrupted)


def judge(request, records, conda, pip, copied=()):
    """Compares an environment's records with a request.

    Args:
        copied: the records of the packages that were put there by their files, not by a solver.

    Raises:
        CondaEnvError: a spec or a requirement can't be understood.
    """
    exact, locked = request.state == "exact", set(request.lock.entries if request.lock else ())
    unlocked = request.lock.lacking(records.healthy) if request.lock else []
    exempt = (records.copied(copied) - locked) | (locked - {*unlocked})
    found = {"missing": [], "needed": []}
    if request.packages:
        found = conda.judge(request.packages, records.healthy, exempt)
    asked_again = {*map(spec_name, found["missing"]), *locked}
    corrupted = [spec for spec in records.corrupted if spec_name(spec) not in asked_again]
    verdict = Verdict(
        # One that nobody asked for was its user's: it is put back, unless nothing else is to be there.
        lacking=found["missing"] + ([] if exact else corrupted),
        unlocked=unlocked,
        corrupted=records.corrupted,
    )
    if exact:
        needed = {*found["needed"], *locked}
        verdict.surplus = [record["name"] for record in records.healthy if record["name"] not in needed]
    own = [dist.name for dist in records.pip]
    if request.pip or (exact and own):
        judge_pip(verdict, request, own, pip)
    return verdict


def judge_pip(verdict, request, own, pip):
    """Adds pip's part to a verdict. Where the environment's Python can't tell, it is broken, and all is put anew."""
    try:
        said = pip.judge(request.pip, own)
    except CondaEnvError as error:
        if "command" not in error.details:  # a requirement that nobody understands
            raise
        verdict.pip_lacking = request.pip
        verdict.broken = "" if verdict.for_conda else str(error).splitlines()[0]
        return
    verdict.pip_lacking = said["missing"]
    verdict.pip_surplus = said["surplus"] if request.state == "exact" else []
