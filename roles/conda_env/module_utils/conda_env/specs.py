# SPDX-License-Identifier: GPL-3.0-or-later
"""Which specs installed packages satisfy: a question to the conda base's own Python, whose idea of a match is conda's."""

import inspect

#: The fields of a record that a match spec may name, and its dependencies.
FIELDS = ("name", "version", "build", "build_number", "channel", "subdir", "url", "fn", "md5", "sha256", "depends")


def compare(match_spec, wanted, records, copied=()):
    """Compares specs with records, and follows what they find through what that depends on.

    Packages that nobody asked for, and theirs, are their owner's business. This function travels as source text to the
    Python of conda's base, so it needs nothing but its arguments.

    Args:
        match_spec: conda's class MatchSpec.
        wanted: the specs as texts.
        records: the installed packages' records.
        copied: names of the packages that were put there by their files, without a solver. Of what those say that they need only the
            names count, as far as they are there or were copied, too: a channel may have corrected the versions since, or the names.

    Returns:
        ``invalid``, a dict of specs and what conda says about them; ``missing``, a list of specs in the order asked;
        ``needed``, the names of the packages that were found.
    """
    named = {record["name"]: record for record in records}
    invalid, missing, needed, seen, queue = {}, [], set(), set(), [(text, False) for text in wanted]
    while queue:
        text, loose = queue.pop(0)
        if (text, loose) in seen or text.startswith("__"):  # a virtual package is the machine's, such as __glibc
            continue
        seen.add((text, loose))
        try:
            spec = match_spec(text)
        except Exception as error:  # conda's own class, which differs between versions
            if text in wanted:  # else a package says so, which newer versions of conda understand
                invalid[text] = str(error)
            continue
        name = spec.name.lower()
        candidates = records if "*" in name else [named[name]] if name in named else []
        found = next((record for record in candidates if loose or spec.match(record)), None)
        if found:
            needed.add(found["name"])
            queue.extend((needs, found["name"] in copied) for needs in found.get("depends", []))
            if found["name"] == "python" and "pip" in named:  # conda adds it by itself, and does not always record that
                queue.append(("pip", False))
        elif text not in missing and (not loose or name in copied):
            missing.append(text)
    return {"invalid": invalid, "missing": missing, "needed": sorted(needed)}


QUESTION = f"""\
import json, sys
from conda.models.match_spec import MatchSpec

{inspect.getsource(compare)}
asked = json.load(sys.stdin)
print(json.dumps(compare(MatchSpec, asked["wanted"], asked["records"], asked["copied"])))
"""
