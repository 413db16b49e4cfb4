# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel's builder: its pure functions, and one small wheel all the way."""

import doctest
import json
import marshal
import re
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

CHANNEL = Path(__file__).parents[2] / "molecule/resources/channel"
sys.path.insert(0, str(CHANNEL))

from conda_package_streaming import package_streaming  # noqa: E402
from condachannel import cache, debian, package, pypi, wheel  # noqa: E402

TARGET = wheel.Target("3.11", "linux-ppc64le", "ppc64le", {"typing-extensions": "typing_extensions"})


@pytest.mark.parametrize("module", [debian, wheel])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module, extraglobs={"SpecifierSet": SpecifierSet}).failed == 0


@pytest.mark.parametrize(
    ("pypi_says", "conda_says"),
    [
        (">=3.9", ">=3.9"),
        ("~=1.4", ">=1.4,1.*"),
        ("==1.*", "1.*"),
        ("===2.0", "==2.0"),
        ("<4,>=3.8,!=3.9.0", "!=3.9.0,<4,>=3.8"),
        ("", ""),
    ],
)
def test_versions_in_condas_words(pypi_says, conda_says):
    assert wheel.conda_versions(SpecifierSet(pypi_says)) == conda_says


def test_markers_and_extras_are_decided_for_the_target():
    catalog = {
        "app": [
            "typing-extensions; python_version < '3.12'",
            "colorama; sys_platform == 'win32'",
            "schema[fmt]>=4",
            "black; extra == 'dev'",
        ],
        "schema": ["attrs", "fqdn; extra == 'fmt'", "uri; extra == 'other'"],
    }
    found = [TARGET.conda_spec(r) for r in wheel.requirements("app", catalog, TARGET.markers)]
    assert found == ["typing_extensions", "schema >=4", "attrs", "fqdn"]


def make_wheel(folder: Path, name: str, tag: str, files: dict[str, str], metadata: str = "") -> Path:
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member.replace("INFO", info), text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def contents(archive: Path) -> dict[str, bytes]:
    """Everything in a .conda file."""
    found = {}
    for component in ("info", "pkg"):
        for tar, member in package_streaming.stream_conda_component(str(archive), component=component):
            found[member.name] = tar.extractfile(member).read()
    return found


def test_a_pure_wheel_becomes_a_noarch_package(tmp_path):
    files = {
        "tool/__init__.py": "def main(): return 'ä'\n",
        "tool/template.py": "{% not python %}",
        "tool-1.0.data/data/share/tool/x.json": "{}",
        "INFO/entry_points.txt": "[console_scripts]\ntool = tool:main [extra]\n",
    }
    metadata = "Requires-Python: !=3.0.*,>=3.8\nRequires-Dist: six>=1.5"
    record = wheel.convert(
        make_wheel(tmp_path, "tool", "py3-none-any", files, metadata), tmp_path, TARGET, {"tool": ["six>=1.5"]}
    )
    assert record["depends"] == ["python >=3.8", "six >=1.5"]
    assert (record["subdir"], record["noarch"], record["build"]) == ("noarch", "python", "pyhd8ed1ab_0")

    found = contents(tmp_path / "noarch" / record["fn"])
    assert json.loads(found["info/link.json"])["noarch"] == {"type": "python", "entry_points": ["tool = tool:main"]}
    assert found["share/tool/x.json"] == b"{}"
    assert found["site-packages/tool-1.0.dist-info/INSTALLER"] == b"conda\n"
    assert "site-packages/tool/__pycache__/template.cpython-311.pyc" not in found
    pyc = found["site-packages/tool/__pycache__/__init__.cpython-311.pyc"]
    assert pyc[4:8] == b"\x01\0\0\0", "must be an unchecked-hash .pyc (PEP 552)"
    namespace: dict = {}
    exec(marshal.loads(pyc[16:]), namespace)
    assert namespace["main"]() == "ä"
    paths = {entry["_path"] for entry in json.loads(found["info/paths.json"])["paths"]}
    assert paths == {name for name in found if not name.startswith("info/")}


def test_a_compiled_wheel_belongs_to_one_python_and_carries_its_scripts(tmp_path):
    files = {"fast.so": "not really", "INFO/entry_points.txt": "[console_scripts]\nfast = fast:cli.run\n"}
    built = make_wheel(tmp_path, "fast", "cp311-cp311-linux_ppc64le", files)
    record = wheel.convert(built, tmp_path, TARGET, {}, ["libgcc"])
    assert record["depends"] == ["libgcc", "python >=3.11,<3.12.0a0", "python_abi 3.11.* *_cp311"]
    found = contents(tmp_path / "linux-ppc64le" / record["fn"])
    assert found["bin/fast"].decode().startswith(f"#!{package.PLACEHOLDER}/bin/python\n")
    assert b"from fast import cli\n" in found["bin/fast"] and b"cli.run()" in found["bin/fast"]
    entry = next(e for e in json.loads(found["info/paths.json"])["paths"] if e["_path"] == "bin/fast")
    assert (entry["file_mode"], entry["prefix_placeholder"]) == ("text", package.PLACEHOLDER)


def test_a_debian_package_becomes_a_wheel(tmp_path):
    root = tmp_path / "tree/usr/lib/python3/dist-packages"
    egg = root / "Fast_Thing-2.1.egg-info"
    (root / "fast/tests").mkdir(parents=True)
    (root / "fast/__init__.py").write_text("")
    (root / "fast/tests/test_x.py").write_text("")
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.2\nName: Fast-Thing\nVersion: 2.1\n\nAbout\n")
    (egg / "requires.txt").write_text("numpy\n\n[:python_version < '3.8']\nold\n\n[docs]\nsphinx\n")
    built = wheel.from_debian(
        tmp_path / "tree", tmp_path, "cp311-cp311-linux_ppc64le", skip=["/tests/"], requires=["cffi"]
    )
    assert built.name == "fast_thing-2.1-cp311-cp311-linux_ppc64le.whl"
    assert wheel.metadata(built).get_all("Requires-Dist") == ["numpy", "old ; python_version < '3.8'", "cffi"]
    names = zipfile.ZipFile(built).namelist()
    assert "fast/__init__.py" in names and "fast/tests/test_x.py" not in names


def test_repodata_lists_what_was_written(tmp_path):
    record = package.write_empty(tmp_path, "meta", "1", "0", ["six"])
    package.write_repodata(tmp_path, ["noarch", "linux-64"], [record])
    listed = json.loads((tmp_path / "noarch/repodata.json").read_text())["packages.conda"]
    assert listed["meta-1-0.conda"]["depends"] == ["six"]
    assert listed["meta-1-0.conda"]["size"] == (tmp_path / "noarch/meta-1-0.conda").stat().st_size
    assert json.loads((tmp_path / "linux-64/repodata.json").read_text())["packages.conda"] == {}


def test_a_cached_folder_is_whole_or_not_there(tmp_path):
    def fail(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.folder(tmp_path / "thing-1", fail)
    (tmp_path / ".thing-1.killed").mkdir()  # as a builder leaves it that was killed
    assert not (tmp_path / "thing-1").exists()
    made = cache.folder(tmp_path / "thing-1", lambda folder: (folder / "done").touch())
    assert [p.name for p in made.iterdir()] == ["done"]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["thing-1"]
    cache.folder(made, lambda folder: pytest.fail("made again"))


def test_a_digest_tells_lists_apart():
    assert len({cache.digest(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], [])}) == 4


def test_locks_name_every_wheel_with_its_digest():
    names = {}
    for lock in (CHANNEL / "locks").glob("*.txt"):
        lines = lock.read_text().splitlines()
        assert all(re.fullmatch(r"[\w.-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines), lock
        names[lock.stem] = [line.split()[0] for line in lines]
    assert names["amd64"] == names["ppc64le"], "run `build --lock` for both architectures"


def test_a_lock_leaves_out_debians_wheels(tmp_path):
    for name in ("numpy", "tool"):
        make_wheel(tmp_path, name, "py3-none-any", {})
    assert pypi.lock_lines(tmp_path.glob("*.whl"), {"numpy"}).startswith("tool==1.0 --hash=sha256:")
