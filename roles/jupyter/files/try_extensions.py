# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Jupyter's own machinery whether it can load each extension (what `jupyter server extension list` does, for programs).

``python try_extensions.py GENERATION LAB EXTENSION...``: with LAB `lab`, it goes on with what `jupyter labextension list` prints. Both in
one process, since the imports are what takes long.
"""

import sys


def server(name):
    from jupyter_server.extension.manager import ExtensionPackage

    return [] if ExtensionPackage(name=name, enabled=True).validate() else ["Jupyter can't validate it"]


def classic(name):
    from notebook.serverextensions import validate_serverextension

    return validate_serverextension(name)


validate, problems = {"server": server, "classic": classic}[sys.argv[1]], []
for name in sys.argv[3:]:
    try:
        problems += [f"{name}: {problem}" for problem in validate(name)]
    except Exception as error:  # whatever an import may raise
        problems.append(f"{name}: {type(error).__name__}: {error}")
if problems:
    sys.exit("\n".join(problems))
if sys.argv[2] == "lab":
    from jupyterlab.labextensions import main

    main(["list"])
