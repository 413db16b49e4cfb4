"""What the launcher finds in an environment; how it starts the real servers is seen in tests/browser and molecule/session."""

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
