# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in beside recorded real conda: each command of the two transcripts, in order, in both versions."""

import json
import platform
import re
from pathlib import Path

import pytest
import yaml
from conda_base import Home, build_channel, served
from conda_transcripts import as_json, missing_keys, recorded, same_text

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the stand-in runs natively on x86_64 alone")

KNOWN = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text())
README = Path(__file__).parents[2] / "molecule/resources/conda/README.md"
DISTRIBUTION = {"23.10.0": "miniconda", "26.7.1": "miniforge"}


class Replay:
    """A recording, played in a home of its own."""

    def __init__(self, version: str, path: Path, channel_folder: Path, url: str) -> None:
        self.known = KNOWN[version]
        self.channel = path / "srv/channel"
        self.channel.parent.mkdir()
        for name in ("channel", "conda-forge", "channel-newconda"):
            (self.channel.parent / name).symlink_to(channel_folder / "conda-forge")
        without_newer_conda(channel_folder / "conda-forge", self.channel.parent / "channel-2310")
        installer = next((channel_folder / DISTRIBUTION[version]).glob("*.sh"))
        self.home = Home(path, installer)
        self.home.environ |= {"PATH": f"{self.home.base}/bin:/usr/bin:/bin", "BASE": str(self.home.base)}
        self.places = {
            **self.known["instead"],
            "/home/alice": str(path),
            "file:///srv/": f"{self.channel.parent.as_uri()}/",
            "http://127.0.0.1:8000/channel": f"{url}/conda-forge",
            "http://127.0.0.1:8077": f"{url}/conda-forge",
            "/srv/work/wh": f"{channel_folder}/simple/humanize",
        }
        self.home.sh(self.here(self.known["start"]))
        self.before = [(re.compile(pattern), script) for pattern, script in self.known["before"]]

    def here(self, text: str) -> str:
        """A recorded text with this home's places."""
        for recorded_words, ours in self.places.items():
            text = text.replace(recorded_words, ours)
        return text

    def reason(self, command: str, kind: str) -> str | None:
        """Why this command is left out, or its answer differs."""
        for entry in self.known[kind]:
            if any(re.search(pattern, command) for pattern in entry["commands"]):
                return entry["why"]
        return None

    def differences(self, step) -> list[str]:
        """Run a recorded command; what is not as it was?"""
        for pair in self.before:
            if pair[0].search(step.command):
                self.before.remove(pair)
                prepared = self.home.sh(self.here(pair[1]))
                assert prepared.returncode == 0, prepared.stderr
                break
        done = self.home.sh(self.here(step.command))
        found = [] if done.returncode == step.code else [f"exit {done.returncode} instead of {step.code}"]
        for name, expected, got in (("stdout", step.stdout, done.stdout), ("stderr", step.stderr, done.stderr)):
            expected, actual = [self.here(line) for line in expected], got.splitlines()
            answer = as_json(expected)
            if isinstance(answer, dict | list):
                found += [f"{name}: {path}" for path in missing_keys(answer, as_json(actual))]
            elif not same_text(expected, actual):
                found.append(f"{name}:\n" + "\n".join(actual) + "\n--- instead of\n" + "\n".join(expected))
        for look, expected in step.then:
            seen = self.home.sh(self.here(look))
            expected = [part for line in expected for part in (line.split("   ") if look.startswith("ls ") else [line])]
            if not same_text([self.here(line) for line in expected], (seen.stdout + seen.stderr).splitlines()):
                found.append(f"{look}:\n{seen.stdout}{seen.stderr}--- instead of\n" + "\n".join(expected))
        return found


def without_newer_conda(channel: Path, folder: Path) -> None:
    """A channel as it was before the newer conda came out."""
    for subdir in channel.iterdir():
        (folder / subdir.name).mkdir(parents=True)
        for file in subdir.iterdir():
            (folder / subdir.name / file.name).symlink_to(file)
        repodata = json.loads((subdir / "repodata.json").read_text())
        kept = {fn: r for fn, r in repodata["packages.conda"].items() if not fn.startswith("conda-26")}
        (folder / subdir.name / "repodata.json").unlink()
        (folder / subdir.name / "repodata.json").write_text(json.dumps(repodata | {"packages.conda": kept}))


@pytest.mark.parametrize("version", KNOWN)
def test_the_recorded_commands_are_answered_as_they_were(version, tmp_path):
    channel_folder = build_channel()
    unequal = []
    with served(channel_folder) as url:
        replay = Replay(version, tmp_path, channel_folder, url)
        for step in recorded(version):
            if replay.reason(step.command, "left_out"):
                continue
            found = replay.differences(step)
            if replay.reason(step.command, "differs"):
                found = [line for line in found if line.startswith("exit ")]
            if found:
                unequal.append("\n".join([f"$ {step.command}", *found]))
    assert not unequal, f"{len(unequal)} answers differ:\n\n" + "\n\n".join(unequal)


def test_the_readme_gives_every_reason():
    reasons = {entry["why"] for known in KNOWN.values() for kind in ("differs", "left_out") for entry in known[kind]}
    assert [reason for reason in sorted(reasons) if f"| {reason} |" not in README.read_text()] == []
