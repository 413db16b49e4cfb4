# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Jupyter's own machinery whether it can load each extension (what `jupyter server extension list` does, for programs)."""

import sys

from jupyter_server.extension.manager import ExtensionPackage

problems = []
for name in sys.argv[1:]:
    try:
        if not ExtensionPackage(name=name, enabled=True).validate():
            problems.append(f"{name}: Jupyter can't validate it")
    except Exception as error:  # whatever an import may raise
        problems.append(f"{name}: {type(error).__name__}: {error}")
sys.exit("\n".join(problems) or 0)
