# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index for pip: PEP 503, as static files."""

import hashlib
import html
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from .wheel import metadata, project


def write(folder: Path, wheels: Iterable[Path]) -> None:
    """An index of these wheels; pip compares each with the sha256 in its link."""
    projects = defaultdict(list)
    for wheel in wheels:
        projects[project(wheel)].append(wheel)
    folder.mkdir()
    for name, files in projects.items():
        (folder / name).mkdir()
        links = []
        for file in files:
            shutil.copyfile(file, folder / name / file.name)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            python = html.escape(metadata(file)["Requires-Python"] or "")
            links.append(f'<a href="{file.name}#sha256={digest}" data-requires-python="{python}">{file.name}</a>')
        _page(folder / name, links)
    _page(folder, (f'<a href="{name}/">{name}</a>' for name in sorted(projects)))


def _page(folder: Path, links: Iterable[str]) -> None:
    body = "<br>\n".join(links)
    (folder / "index.html").write_text(f"<!DOCTYPE html>\n<html>\n<body>\n{body}\n</body>\n</html>\n")
