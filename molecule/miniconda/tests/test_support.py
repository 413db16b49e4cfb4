"""A support account that is not root becomes the user, without setfacl and without Python; the node has no way out."""

import hashlib

import yaml


def test_it_installs_what_the_controller_has_brought(new_account, web, channel, tmp_path):
    account = new_account("t-miniconda-sup")
    installer = next(channel.rglob("Miniconda3-*.sh"))
    checksum = hashlib.sha256(installer.read_bytes()).hexdigest()
    become = {"triton": {"vars": {"ansible_become": True, "ansible_become_user": account.name}}}
    (tmp_path / "become.yml").write_text(yaml.safe_dump(become))
    arguments = [
        "-i", str(tmp_path / "become.yml"),
        "-e", "miniconda_source=controller",
        "-e", f"miniconda_staging=/tmp/{account.name}",
        "-e", f"miniconda_base_url=http://127.0.0.1:{web.server_port}/{installer.parent.name}",
        "-e", f"miniconda_installer_sha256={checksum}",
    ]  # fmt: skip
    account.play(*arguments, login="support")
    assert account.sh("~/local/miniconda3/bin/conda --version").startswith("conda ")
    assert account.sh("find ~ ! -user $(id -un)") == ""
    assert account.sh(f"stat -c %U /tmp/{account.name}/{checksum[:12]}-*").strip() == "support"
    assert "changed=0" in account.play(*arguments, login="support")
    assert account.sh("ls -A ~/local").strip() == "miniconda3"
