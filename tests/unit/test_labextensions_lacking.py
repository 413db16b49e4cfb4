# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter labextensions_lacking on what `jupyter labextension list` has printed, of both generations."""

import pytest
from module_runner import load

lacking = load("plugins/filter/labextensions_lacking.py").labextensions_lacking

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
# JupyterLab 2.3.2: the words come on one stream, the list on the other.
OLD = f"""\
JupyterLab v2.3.2
Known labextensions:

   app dir: /home/ada/local/miniconda3/envs/myenv/share/jupyter/lab
        @jupyter-widgets/jupyterlab-manager v2.0.0 {GREEN} enabled {PLAIN} {GREEN}OK{PLAIN}
        dask-labextension v2.0.2 {GREEN} enabled {PLAIN} {GREEN}OK{PLAIN}
"""
NEW = f"""\
JupyterLab v4.6.6
/home/ada/local/miniconda3/envs/myenv/share/jupyter/labextensions
        jupyterlab_pygments v0.3.0 {GREEN}enabled{PLAIN} {GREEN}OK{PLAIN} (python, jupyterlab_pygments)
        dask-labextension v7.0.0 {GREEN}enabled{PLAIN} {GREEN}OK{PLAIN} (python, dask_labextension)
"""


@pytest.mark.parametrize(
    ("listed", "wanted", "lacks"),
    [
        (OLD, {"dask-labextension": "2.0.2", "@jupyter-widgets/jupyterlab-manager": "2"}, {}),
        (OLD, {"dask-labextension": "2.0"}, {}),
        # Another version, and no mistaking 2.0.2 for 2.0.20 or 20.
        (OLD, {"dask-labextension": "2.0.1"}, {"dask-labextension": "dask-labextension@2.0.1"}),
        ("   x v2.0.20 enabled OK\n", {"x": "2.0.2"}, {"x": "x@2.0.2"}),
        ("   x v20.1.0 enabled OK\n", {"x": "2"}, {"x": "x@2"}),
        # From a place any version will do, if it has the name.
        (OLD, {"dask-labextension": "/software/dask.tgz"}, {}),
        (OLD, {"other": "/software/other.tgz"}, {"other": "/software/other.tgz"}),
        # Disabled, or made for another JupyterLab.
        (OLD.replace("enabled", "disabled"), {"dask-labextension": "2"}, {"dask-labextension": "dask-labextension@2"}),
        (
            OLD.replace(f"{GREEN}OK", f"{RED} X"),
            {"dask-labextension": "2"},
            {"dask-labextension": "dask-labextension@2"},
        ),
        (NEW, {"dask-labextension": "7"}, {}),
        (NEW, {"jupyterlab-manager": "5"}, {"jupyterlab-manager": "jupyterlab-manager@5"}),
        # Nothing there at all, as before the environment is made.
        ("", {"dask-labextension": "2"}, {"dask-labextension": "dask-labextension@2"}),
    ],
)
def test_what_is_lacking(listed, wanted, lacks):
    assert lacking(listed, wanted) == lacks
