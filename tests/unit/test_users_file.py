# SPDX-License-Identifier: GPL-3.0-or-later
"""A users file, in both forms: what it says, and everything that can be wrong with it, by line."""

import re
from pathlib import Path

import pytest
from ansible.module_utils.users_file import UsersFileError, load, public_variables

VARIABLES = public_variables(Path(__file__).parents[2] / "roles")


@pytest.fixture
def read(tmp_path):
    def run(text, name="users.yml", encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return load(path, VARIABLES)

    return run


@pytest.fixture
def refused(read):
    """Reads what must be refused; returns the problems as (line, text)."""

    def run(text, *arguments, **options):
        with pytest.raises(UsersFileError) as caught:
            read(text, *arguments, **options)
        head, *lines = str(caught.value).splitlines()
        assert head.startswith("1 problem in " if len(lines) == 1 else f"{len(lines)} problems in ")
        return [
            (int(line), said) for line, said in (re.fullmatch(r"line (\d+): (.*)", line).groups() for line in lines)
        ]

    return run


def test_an_entry_says_who_and_what(read):
    ada, bob = read(
        "- {name: ada, project: ocean, profile: modern, overrides: {dask_cores: 8}}\n- {name: bob, state: absent}"
    )
    assert (ada.name, ada.line, ada.project, ada.profile, ada.state) == ("ada", 1, "ocean", "modern", "present")
    assert ada.overrides == {"dask_cores": 8}
    assert (bob.name, bob.line, bob.project, bob.profile, bob.state, bob.overrides) == ("bob", 2, "", "", "absent", {})


def test_a_list_may_have_its_name_above(read):
    assert [user.name for user in read("---\n# The course of autumn.\nusers:\n  - name: ada\n  - name: bob\n")] == [
        "ada",
        "bob",
    ]


CSV = """\
name,project,dask_memory,dask_cores,jupyter_tls,conda_env_extra_packages

ada,ocean,4GB,8,true,"[numpy, 'scipy <2']"
bob,ocean,,,,
"""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_says_the_same(read, delimiter):
    text = CSV.replace(",", delimiter).replace(f"[numpy{delimiter}", "[numpy,")
    ada, bob = read(text, name="users.CSV", encoding="utf-8-sig")
    assert ada.overrides == {
        "dask_memory": "4GB",
        "dask_cores": 8,
        "jupyter_tls": True,
        "conda_env_extra_packages": ["numpy", "scipy <2"],
    }
    assert (ada.line, bob.line, bob.project, bob.overrides) == (3, 4, "ocean", {})


@pytest.mark.parametrize("written", ["12:00", "007", "1_000", "yes", "1e3"])
def test_a_text_is_taken_as_it_is_written(read, written):
    """YAML alone makes 720 of 12:00, and 7 of 007."""
    (user,) = read(f"- {{name: ada, project: {written.replace(':', '')}, overrides: {{dask_walltime: {written}}}}}")
    assert (user.project, user.overrides) == (written.replace(":", ""), {"dask_walltime": written})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        # Keys, and what they hold.
        ("{project: ocean}", "a user without a name"),
        ("{}", "a user without a name"),
        ("ada", "an entry that is no mapping"),
        ("{name: ada, projct: ocean}", "'projct' is not known.*did you mean project"),
        ("{name: ada, name: bob}", "'name' again; it is in line 2"),
        ("{name: ada, [a]: b}", "a key that is no word"),
        ("{name: [ada]}", "name is a list or a mapping"),
        ("{name: }", "name is empty"),
        ("{name: ada, project: }", "project is empty"),
        ("{name: ada, profile: moderm}", "profile 'moderm'; it must be one of modern, tutorial"),
        ("{name: ada, state: gone}", "state 'gone'; it must be one of present, absent"),
        # Names that are no account's, or that would be a path, a pattern of Ansible's or an option of a command.
        *[(f"{{name: {name!r}}}", "it must be an account's name") for name in ("", "a b", "-a", "../a", "a:b", "ä", "a\\b", "a" * 33)],
        ("{name: root}", "name 'root'.*and not root"),
        *[(f"{{name: ada, project: {name!r}}}", "it must be a project's name") for name in ("", "..", "a/b", "-P", "a b")],
        # Overrides.
        ("{name: ada, overrides: [dask_cores]}", "overrides that is no mapping"),
        ("{name: ada, overrides: {dask_cors: 1}}", "'dask_cors' is not known.*did you mean dask_cores"),
        ("{name: ada, overrides: {__dask_files: []}}", "must be a public variable of a role"),
        ("{name: ada, overrides: {ansible_become_user: bob}}", "must be a public variable of a role"),
        ("{name: ada, overrides: {session_enabled: true}}", "nobody starts a job in another's name"),
        ("{name: ada, overrides: {target_home: /tmp}}", "it is found out on the host"),
        ("{name: ada, overrides: {miniconda_quota_command: 'id'}}", "what the site's accounts run is the site's to say"),
        ("{name: ada, overrides: {miniconda_verify: false}}", "where conda comes from, and whether that is checked"),
        ("{name: ada, overrides: {conda_env_lock: /etc/shadow}}", "files of the controller, and ssh from there"),
        ("{name: ada, overrides: {dask_presets: {a: 2026-02-30}}}", "dask_presets: day"),
        ("{name: ada, overrides: {dask_cores: many}}", "dask_cores is 'many'.*int"),
        ("{name: ada, overrides: {dask_cores: }}", "dask_cores is empty"),
        ("{name: ada, overrides: {conda_env_state: new}}", "must be one of: present, exact"),
        ("{name: ada, overrides: {conda_env_extra_packages: numpy}}", "it must be a list, even of one"),
        ("{name: ada, overrides: {dask_memory: {a: b}}}", "dask_memory is a list or a mapping"),
        ("{name: ada, overrides: {dask_presets: {a: 1, a: 2}}}", "'a' again"),
        # What must not be in such a file at all.
        ("{name: ada, overrides: {dask_memory: '{{ 7 * 7 }}'}}", "templates of a users file are never rendered"),
        ("{name: ada, overrides: {dask_presets: {a: [{'{% raw %}': 1}]}}}", "templates of a users file are never rendered"),
        ("{name: ada, overrides: &a {dask_presets: {b: *a}}}", r"the alias \*a"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(refused, entry, said):
    ((line, words),) = refused(f"# Who comes.\n- {entry}")
    assert line == 2
    assert re.search(said, words)


SITES = """\
preflight_quota_command miniconda_quota_command conda_env_command conda_env_build_lsf_profile session_lsf_profile session_command
session_command_path session_command_folder session_bsub_options session_server_arguments
miniconda_base_url miniconda_installer_url miniconda_installer_sha256 miniconda_verify
miniconda_installer_file miniconda_source miniconda_staging conda_env_lock conda_env_lock_sources conda_env_environment_yml
session_status_file session_ssh_host session_ssh_user session_ssh_port session_ssh_key session_ssh_arguments"""


@pytest.mark.parametrize("name", SITES.split())
def test_what_is_the_sites_to_say_is_no_users(refused, name):
    assert name in VARIABLES
    ((_, said),) = refused(f"- {{name: ada, overrides: {{{name}: x}}}}")
    assert f"overrides have {name}; " in said
    assert "the site's to say, in its group_vars" in said


def test_a_folder_named_t_is_no_secret(read):
    (user,) = read("- {name: ada, overrides: {dask_local_directory: /scratch/t/ada/tmp}}")
    assert user.overrides == {"dask_local_directory": "/scratch/t/ada/tmp"}


@pytest.mark.parametrize(
    "entry",
    [
        "{name: ada, password: opensesame}",
        "{name: ada, overrides: {jupyter_password: opensesame}}",
        "{name: ada, overrides: {session_token: opensesame}}",
        "{name: ada, overrides: {conda_env_channels: ['https://ada:opensesame@example.org/x']}}",
        "{name: ada, overrides: {miniconda_proxy: 'http://ada:opensesame@example.org:3128'}}",
        "{name: ada, overrides: {miniconda_condarc: {channel_alias: https://example.org/t/opensesame/x}}}",
        "{name: ada, overrides: {dask_job_name: 'argon2:$argon2id$v=19$opensesame'}}",
        "{name: ada, overrides: {dask_job_name: '-----BEGIN OPENSSH PRIVATE KEY-----opensesame'}}",
    ],
)
def test_a_secret_is_refused_and_not_shown(refused, entry):
    ((_, said),) = refused(f"- {entry}")
    assert "no secret belongs into a users file" in said
    assert "opensesame" not in said


def test_all_problems_are_in_one_message(refused):
    text = """\
users:
  - name: ada
    project: ocean
    overrides:
      dask_cors: 8
      dask_walltime: 12:00
      jupyter_password: opensesame
  - name: Bob B
    profile: old
  - name: ada
"""
    assert [(line, re.sub(r"[;(].*", "", said).strip()) for line, said in refused(text)] == [
        (5, "'dask_cors' is not known"),
        (7, "overrides have jupyter_password"),
        (8, "name 'Bob B'"),
        (9, "profile 'old'"),
        (10, "name 'ada' again"),
    ]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("name,dask_cores\nada,8\n\n\nbob,many\nada,\n", [(5, "dask_cores is 'many'"), (6, "name 'ada' again")]),
        ('name,dask_presets\n"ada","{a:\n 1}"\nbob,[\n', [(4, "dask_presets is '['; it must be YAML in one line")]),
        ("name,conda_env_extra_packages\nada,numpy\n", [(2, "conda_env_extra_packages is 'numpy'; it must be a list")]),
        (
            "name,conda_env_channels\nada,x\nbob,['{{ x }}']\n",
            [(2, "conda_env_channels"), (3, "conda_env_channels is")],
        ),
        ("name,project\nada\n", [(2, "1 cells; there must be 2")]),
        ("name,name\nada,bob\n", [(1, "columns name, name; there must be one `name`")]),
        ("project\nocean\n", [(1, "columns project")]),
        ('name,project\n"ada,ocean\n', [(2, "unexpected end of data; the file must be CSV")]),
        ("name\n", [(1, "no users")]),
        ("", [(1, "no users")]),
    ],
)
def test_csv_has_lines_too(refused, text, problems):
    found = refused(text, name="users.csv")
    assert [line for line, _ in found] == [line for line, _ in problems]
    assert all(said.startswith(start) for (_, said), (_, start) in zip(found, problems, strict=True)), found


@pytest.mark.parametrize(
    "text", ["", "# none yet\n", "[]", "users:\n", "users: {ada: {}}", "people: [{name: ada}]", "ada"]
)
def test_a_file_without_users_is_refused(refused, text):
    ((_, said),) = refused(text)
    assert "no list of users" in said


@pytest.mark.parametrize(
    ("text", "line"), [("- {name: ada}\n- {name: [}\n", 2), ("- name: ada\n\tx: y\n", 2), ("--- a\n--- b\n", 2)]
)
def test_what_does_not_parse_has_its_line(refused, text, line):
    ((found, said),) = refused(text)
    assert found == line
    assert "the file must be YAML" in said


def test_an_encoding_that_is_not_utf8_has_its_line(refused):
    ((line, said),) = refused("- name: ada\n# für\n", encoding="latin-1")
    assert (line, said) == (2, "not UTF-8; save it in that encoding")


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path):
    with pytest.raises(UsersFileError, match=r"nosuch\.yml; nothing was done:\nNo such file"):
        load(tmp_path / "nosuch.yml", VARIABLES)
