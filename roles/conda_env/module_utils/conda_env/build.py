# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the next revision of an environment, or telling what it would be."""

import os
import re
import shutil

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.conda import planned
from ansible.module_utils.conda_env.records import Records, canonical
from ansible.module_utils.conda_env.request import spec_name
from ansible.module_utils.conda_env.revisions import ADDITIONS, PINS, carry, stranded


class Build:
    """From the records before and a verdict on them to the records after."""

    def __init__(self, request, place, before, verdict, conda, pip_at):
        self.request, self.place, self.before, self.verdict = request, place, before, verdict
        self.conda, self.pip_at = conda, pip_at
        self.exact = request.state == "exact"
        self.from_lock = bool(request.lock and (verdict.unlocked or self.exact))
        self.copied = []  # the records of what conda puts there by its files alone
        self.stranded = []  # the user's files that stay in the revision before

    @property
    def added_by_user(self):
        """The packages that somebody else asked for than this module: they go on top of a lock."""
        ours = {*self.place.mark().get("asked", []), *self.request.names}
        there = {record["name"] for record in self.before.healthy}
        return [] if self.exact else [name for name in self.before.requested if name in there and name not in ours]

    @property
    def specs(self):
        """What conda is told to install: all that is wanted, so that it gives up nothing of it for what is missing."""
        beside = self.added_by_user if self.from_lock else []
        return list(dict.fromkeys([*self.request.packages, *self.verdict.lacking, *beside]))

    @property
    def dists(self):
        """The packages of pip's that go along."""
        wanted = {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in self.request.pip}
        return [] if self.exact else [dist for dist in self.before.pip if dist.name not in wanted]

    @property
    def kept(self):
        """Those of them that were asked for. What they need comes with them."""
        return [dist for dist in self.dists if dist.requested] or self.dists

    @property
    def asked(self):
        """The packages that this module has asked conda for, what it had to mend among them; not what its user had."""
        users = {*map(spec_name, self.verdict.corrupted)} & {*self.before.requested}
        mended = {*map(spec_name, self.verdict.lacking)} - users
        return sorted({*self.place.mark().get("asked", []), *self.request.names, *mended})

    @property
    def rebuilds(self):
        """The packages of pip's that must be installed anew because conda changes what is below them."""
        stay = [dist.name for dist in self.before.pip if dist.name not in self.verdict.pip_surplus]
        return stay if self.verdict.for_conda else []

    def run(self, new, keep):
        """Makes the revision at a path and switches to it. Returns its records.

        Raises:
            CondaEnvError: it could not be made, or an import fails in it. Then all is as it was.
        """
        try:
            self.install(new, keep)
            self.install_pip(new, keep)
            if self.before.prefix:
                carry(self.before.prefix, new, ADDITIONS, self.before.owned)
                self.stranded = stranded(self.before.prefix, new, self.before.owned)
            after = Records.read(new)
            after.let_others_read()
            self.conda.try_imports(new, self.request.imports, keep)
            found = {"request": self.request.digest, "records": after.digest, "lost": after.lost, "asked": self.asked}
            copied = sorted({*self.copied} & {*after.texts})
            self.place.switch(new, bool(self.stranded), state="verified", copied=copied, **found)
        except BaseException:
            if not self.place.has_job:  # which may still write there
                self.place.discard(new)
            raise
        return after

    def install(self, new, keep):
        """Conda's part: first the files that are known, without a solver; then what must be found."""
        if not self.from_lock and not self.before.healthy:
            self.conda.solve("create", new, self.specs, keep=keep)
            self.prove(new)
            return
        if self.from_lock:
            self.request.lock.refuse_altered_files()
            known, lacking = self.request.lock.text, True
            self.copied = [f"{entry['dist']}.json" for entry in self.request.lock.entries.values()]
        else:
            gone = {*self.verdict.surplus}
            kept = {file: record["name"] for file, record in self.before.contents.items() if record["name"] not in gone}
            known, self.copied = self.before.lock(kept.values()), list(kept)
            lacking = self.verdict.lacking
        self.conda.copy(new, self.place.note("explicit.txt", known), keep=keep)
        if self.before.prefix:
            carry(self.before.prefix, new, PINS)
            if not self.from_lock:
                self.hand_on_history(new)
        if self.from_lock:
            lacking = self.lacking(self.specs, Records.read(new))
        if lacking:
            frozen = ["--freeze-installed"] if self.request.lock else []
            self.conda.solve("install", new, self.specs, options=frozen, keep=keep)
        self.prove(new)

    def lacking(self, specs, records):
        """What new records lack of the specs."""
        return self.conda.judge(specs, records.healthy, records.copied(self.copied))["missing"] if specs else []

    def hand_on_history(self, new):
        """Lets conda know what was asked for so far: a copy would have it that each single file was."""
        name = os.path.join("conda-meta", "history")
        shutil.copyfile(os.path.join(self.before.prefix, name), os.path.join(new, name))
        if self.exact:
            with open(os.path.join(new, name), "r+", encoding="utf-8", errors="replace") as file:
                lines = [line for line in file if not re.match(r"# *\w+ +specs:", line)]
                file.seek(0)
                file.truncate()
                file.writelines(lines)

    def prove(self, new):
        """Looks at what conda called a success: its exit code alone is no proof.

        Raises:
            CondaEnvError: something is not as asked.
        """
        records = Records.read(new)
        lacking = self.request.lock.lacking(records.healthy) if self.request.lock else []
        lacking += self.lacking(self.request.packages, records)
        if lacking:
            raise CondaEnvError(
                "conda reported success, but {} lacks {}.".format(new, ", ".join(lacking)),
                "run the command by hand on this host and look at what it prints",
                command=self.conda.command,
            )

    def install_pip(self, new, keep):
        """Pip's part, on top: what is asked for, and what was there."""
        if not self.request.pip and not self.kept:
            return
        pip = self.pip_at(new)
        found = pip.judge(self.request.pip, [])
        if not self.kept and not found["missing"]:
            return
        # Where pip had replaced one of conda's packages by its user's wish, it does so again.
        free = {dist.name for dist in self.kept}
        pins = [pin for pin in found["pins"] if pin.partition("==")[0] not in free]
        constraints = self.place.note("constraints.txt", "\n".join([*pins, ""]))

        def install(*requirements):
            pip.install(self.place.note("requirements.txt", "\n".join([*requirements, ""])), constraints, keep=keep)

        install(*self.request.pip, *(dist.requirement for dist in self.kept))
        if self.kept != self.dists:  # not each installer notes what it was asked for
            left = pip.judge([dist.name for dist in self.dists], [])["missing"]
            if left:
                install(*(dist.requirement for dist in self.dists if dist.name in left))
        missing = pip.judge(self.request.pip, [])["missing"]
        if missing:
            raise CondaEnvError(
                "pip reported success, but {} lacks {}.".format(new, ", ".join(missing)),
                "run the command by hand on this host and look at what it prints",
                command=pip.command,
            )

    def plan(self):
        """The package lines that `run` would lead to. Nothing is changed; specs stand for what nobody can know yet."""
        gone = {*self.verdict.surplus, *self.verdict.pip_surplus}
        old = [line for line in self.before.lines if line.split()[0] not in gone]
        if not self.conda.there:
            return sorted(
                {*old, *self.specs, *self.request.pip, *(self.request.lock.lines if self.request.lock else [])}
            )
        return sorted({*self.planned_by_conda(old), *self.planned_by_pip()})

    def planned_by_conda(self, old):
        """What conda would make of the lines."""
        if self.from_lock:
            beside = [spec for spec in self.specs if spec_name(spec) not in self.request.lock.entries]
            of_pip = [] if self.exact else [dist.line for dist in self.before.pip]
            if not beside:
                return [*self.request.lock.lines, *of_pip]
            return [*self.planned_on_lock(beside), *of_pip]
        if not self.before.texts:
            return planned([], self.conda.solve("create", self.place.begin(), self.specs, dry_run=True))
        if self.verdict.corrupted:  # conda refuses to look at such an environment
            return [*old, *self.verdict.lacking]
        if self.verdict.lacking:
            frozen = ["--freeze-installed"] if self.request.lock else []
            return planned(old, self.conda.solve("install", self.before.prefix, self.specs, frozen, dry_run=True))
        return old

    def planned_on_lock(self, beside):
        """What conda would make of the lock and the specs beside it."""
        new = self.place.begin()
        try:
            return planned([], self.conda.solve("create", new, [*self.request.lock.pins, *beside], dry_run=True))
        except CondaEnvError:  # the channel may list a build no more that its URL still leads to
            lines = planned([], self.conda.solve("create", new, beside, dry_run=True))
            other = [line for line in lines if line.split()[0] not in self.request.lock.entries]
            return [*self.request.lock.lines, *other]

    def planned_by_pip(self):
        """What pip would add."""
        if not self.verdict.pip_lacking or not self.before.prefix:
            return self.verdict.pip_lacking
        return self.pip_at(self.before.prefix).plan(self.verdict.pip_lacking)
