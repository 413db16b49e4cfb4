# SPDX-License-Identifier: GPL-3.0-or-later
"""conda's MatchSpec, as far as Slipway uses it: does an installed package satisfy a specification?"""

from collections.abc import Mapping
from typing import Any

from rattler import MatchSpec as _MatchSpec
from rattler import PackageRecord
from rattler.package.build_string import BuildString


class MatchSpec:
    """A specification such as `python=3.11` or `numpy >=1.24`."""

    def __init__(self, spec: str) -> None:
        self._spec = _MatchSpec(spec)

    @property
    def name(self) -> str:
        """The package's name."""
        return self._spec.name.normalized

    def match(self, record: Any) -> bool:
        """Whether a record (a mapping as in conda-meta, or an object with such attributes) satisfies the specification."""
        field = record.get if isinstance(record, Mapping) else lambda name, default: getattr(record, name, default)
        return self._spec.matches(
            PackageRecord(
                name=field("name", ""),
                version=str(field("version", "0")),
                build=BuildString(field("build", "") or field("build_string", "") or "0"),
                build_number=field("build_number", 0),
                subdir=field("subdir", "noarch"),
            )
        )

    def __str__(self) -> str:
        return str(self._spec)

    def __repr__(self) -> str:
        return f"MatchSpec({str(self)!r})"
