"""What the launcher finds in an environment; how it starts the real servers is seen in tests/browser and molecule/session."""

import json
import os

import pytest
from ansible.module_utils.session import launcher


@pytest.mark.parametrize(
    ("found", "classic"),
    [
        (["jupyterlab-2.0.0.dist-info", "jupyter_server-1.12.1.dist-info"], True),
        (["jupyterlab-2.0.0-py3.7.egg-info"], True),
        (
            ["jupyterlab-3.6.8.dist-info", "jupyterlab_server-2.27.0.dist-info", "jupyterlab_pygments-0.2.2.dist-info"],
            False,
        ),
        (["jupyterlab-10.0.0.dist-info"], False),
        ([], False),
    ],
)
def test_the_classic_server_is_known_by_its_jupyterlab(tmp_path, found, classic):
    for name in found:
        (tmp_path / "lib/python3.7/site-packages" / name).mkdir(parents=True)
    assert launcher.is_classic(str(tmp_path)) is classic


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ('{"nonce": "a", "job_id": "7", "certificate": "old"}', True),
        ('{"nonce": "a", "jo', True),
        ('{"nonce": "b", "job_id": "8"}', False),
        ('{"nonce": "a", "job_id": "7", "host": "t001"}', False),
    ],
)
def test_a_job_says_anew_what_is_its_own_or_torn_and_nothing_for_another_job(tmp_path, there, said):
    path, words = tmp_path / "session-jupyter.connection", {"nonce": "a", "job_id": "7", "certificate": "new"}
    path.write_text(there)
    launcher.keep_saying(str(path), words)
    assert path.read_text() == (json.dumps(words) if said else there)


def test_a_job_whose_home_is_full_goes_on(tmp_path):
    words = {"nonce": "a", "job_id": "7"}
    (tmp_path / "words").write_text("torn")
    (tmp_path / "words.new").symlink_to("/dev/full")
    launcher.keep_saying(str(tmp_path / "words"), words)
    assert (tmp_path / "words").read_text() == "torn"


def test_an_authority_in_the_certificates_file_is_not_shown(tmp_path):
    one = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    (tmp_path / "chain.crt").write_text(one.format("own") + "key\n" + one.format("authority"))
    assert launcher.certificate({"certificate": str(tmp_path / "chain.crt")}) == one.format("own")


def test_the_classic_servers_copy_of_the_token_lies_beside_it_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/theirs")
    monkeypatch.setenv("JUPYTER_TOKEN_FILE", "")
    (tmp_path / "env/lib/python3.7/site-packages/jupyterlab-2.0.0.dist-info").mkdir(parents=True)
    (tmp_path / "session-jupyter.token").write_text("secret")
    with launcher.taking_the_token(f"{tmp_path}/session-jupyter.", str(tmp_path / "env")):
        folder = tmp_path / "session-jupyter.notebook"
        told = folder / "jupyter_notebook_config.json"
        assert os.environ["JUPYTER_CONFIG_PATH"] == f"{folder}:/theirs"
        assert json.loads(told.read_text()) == {"NotebookApp": {"token": "secret"}}
        assert (folder.stat().st_mode & 0o777, told.stat().st_mode & 0o777) == (0o700, 0o600)
    assert not folder.exists()
