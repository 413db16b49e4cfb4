# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages from PyPI on top of those from conda, by the environment's own pip."""

import json
import os

from ansible.module_utils.conda_env import CondaEnvError
from ansible.module_utils.conda_env.conda import answer, execute, words

#: A user's pip.conf says where packages come from, but not where they go: a `user = true` of theirs would bypass the environment.
SETTINGS = {
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    **dict.fromkeys(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")),
}

#: Asked of the environment's Python, with the `packaging` that its pip carries. Each requirement is followed through what it needs; a
#: URL's credentials are no part of what is compared, since pip keeps none.
QUESTION = r"""
import json, re, sys
try:
    from importlib.metadata import distributions
except ImportError:  # Python 3.7
    from importlib_metadata import distributions
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.packaging.version import InvalidVersion, Version

def bare(url):
    return re.sub(r"//[^/@]*@", "//", url.partition("#")[0])

def fits(req, dist):
    if not req.url:
        return req.specifier.contains(dist.version, prereleases=True)
    origin = json.loads(dist.read_text("direct_url.json") or "{}")
    vcs = origin.get("vcs_info", {})
    rev = vcs.get("requested_revision")
    url = (vcs["vcs"] + "+" if vcs else "") + origin.get("url", "") + ("@" + rev if rev else "")
    return bare(req.url) == bare(url)

asked = json.load(sys.stdin)
dists = {canonicalize_name(dist.metadata["Name"]): dist for dist in distributions() if dist.metadata["Name"]}
invalid, missing, needed, queue = {}, [], set(), []
for text in asked["wanted"]:
    try:
        queue.append((text, Requirement(text), ""))
    except InvalidRequirement as error:
        invalid[text] = str(error)
while queue:
    text, req, extra = queue.pop(0)
    if req.marker and not req.marker.evaluate({"extra": extra}):
        continue
    name = canonicalize_name(req.name)
    if name not in dists or not fits(req, dists[name]):
        missing.append(text)
        continue
    extras = {"", *req.extras}
    if (name, *sorted(extras)) in needed:
        continue
    needed.update([name, (name, *sorted(extras))])
    for line in dists[name].requires or [] if name in asked["own"] or len(extras) > 1 else []:
        queue += [(line, Requirement(line), each) for each in sorted(extras)]
pins = []
for name, dist in sorted(dists.items()):
    try:
        pins += [] if name in asked["own"] else ["%s==%s" % (name, Version(dist.version))]
    except InvalidVersion:  # a package of conda's that PyPI would not take
        pass
print(json.dumps({"invalid": invalid, "missing": missing, "pins": pins,
                  "surplus": [name for name in asked["own"] if name not in needed]}))
"""


class Pip:
    """The pip of one environment."""

    def __init__(self, prefix, deadline, offline=False, job=None):
        self.python = os.path.join(prefix, "bin", "python")
        self.prefix, self.deadline, self.offline, self.job = prefix, deadline, offline, job
        self.command = []

    def judge(self, wanted, own):
        """Compares requirements with what is there, without a network.

        Args:
            wanted: Requirements.
            own: Names of the packages that are pip's, and not conda's.

        Returns:
            A dict of lists: ``missing`` requirements, ``surplus`` packages of pip's that none of them needs, and ``pins`` on
            conda's packages, which pip must not replace.

        Raises:
            CondaEnvError: the environment has no pip, or a requirement can't be understood.
        """
        asked = json.dumps({"wanted": wanted, "own": own})
        rc, out, err = execute([self.python, "-I", "-c", QUESTION], self.deadline, stdin=asked)
        found = answer(out)
        if rc or not found:
            raise CondaEnvError(
                f"The environment {self.prefix} can't compare pip's packages (exit code {rc}): {words('', err)}",
                "see that it has python and a pip that works (and importlib_metadata, if that is Python 3.7)",
                command=[self.python, "-I", "-c", "..."],
                rc=rc,
                stdout=out,
                stderr=err,
            )
        if found["invalid"]:
            said = [f"{requirement!r}: {why}" for requirement, why in found["invalid"].items()]
            raise CondaEnvError(
                "Not understood by pip: {}.".format("; ".join(said)), "write name, or 'name>=version' in pip"
            )
        return found

    def install(self, requirements, constraints, keep=()):
        """Installs what a file of requirements names, within a file of constraints.

        Raises:
            CondaEnvError: it failed; the message has pip's own words.
        """
        self._run(["-r", requirements, "-c", constraints], job=self.job, keep=keep)

    def plan(self, wanted):
        """What an installation would bring: ``name version pypi_0`` lines. Where pip can't tell, the requirements themselves."""
        try:
            report = self._run(["--dry-run", "--report", "-", *wanted])
        except CondaEnvError:
            self.command = []
            return sorted(wanted)
        brought = (package["metadata"] for package in answer(report).get("install", []))
        return sorted("{} {} pypi_0".format(found["name"].lower(), found["version"]) for found in brought)

    def _run(self, arguments, job=None, keep=()):
        self.command = [self.python, "-I", "-m", "pip", "install", "--quiet", *arguments]
        self.command += ["--no-index"] if self.offline else []
        rc, out, err = execute(self.command, self.deadline, keep=keep, settings=SETTINGS, job=job)
        if rc:
            raise CondaEnvError(
                f"pip failed for {self.prefix} (exit code {rc}): {words('', err or out)}",
                "check the names and versions, and the index that pip.conf names; conda's packages are not for pip to replace: "
                "take those from conda (packages)",
                command=self.command,
                rc=rc,
                stdout=out,
                stderr=err,
            )
        return out
