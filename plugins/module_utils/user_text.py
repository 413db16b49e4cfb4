# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user's file shall say: text in, text out. Runs on the cluster: Python 3.9, its standard library and ruamel.yaml."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from functools import partial


class RefusedError(Exception):
    """A file that can't be brought to what is asked; the text says which, why, and what to do."""


# ---- values ----------------------------------------------------------------------------------------------------


def same(one, other):
    """Equal for a reader of the file: Python alone thinks that 1 is true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def merge(base, wanted, keep=(), path=()):
    """Bring the mapping ``base`` to ``wanted`` in place. ``keep`` holds dotted keys whose present value wins."""
    for key, value in wanted.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value, keep, here)
        elif key not in base or not any(".".join(here[:n]) in keep for n in range(1, len(here) + 1)):
            base[key] = value


def take_out(base, absent):
    """Remove from ``base`` the keys that have exactly these values, and the mappings that thereby become empty."""
    for key, value in absent.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict) and base[key] and value:
            take_out(base[key], value)
            if not base[key]:
                del base[key]
        elif key in base and same(base[key], value):
            del base[key]


# ---- files -----------------------------------------------------------------------------------------------------


def merged_json(text, wanted, keep=(), absent=None):
    try:
        data = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise RefusedError(
            f"line {error.lineno}: {error.msg}; a JSON file must parse before it can be merged"
        ) from error
    if not isinstance(data, dict):
        raise RefusedError("line 1: the file holds no object ({...}), so there is nothing to merge into")
    new = copy.deepcopy(data)
    take_out(new, absent or {})
    merge(new, wanted, keep)
    if same(new, data):
        return text
    return json.dumps(new, indent=2, ensure_ascii=False) + "\n" if new else ""


def with_block(text, block, marker):
    begin, end = f"# BEGIN {marker}", f"# END {marker}"
    lines = text.splitlines(keepends=True)
    found = [(number, line.rstrip("\r\n")) for number, line in enumerate(lines) if line.rstrip("\r\n") in (begin, end)]
    if [line for _, line in found] not in ([], [begin, end]):
        number, line = found[-1]
        raise RefusedError(
            f"line {number + 1}: '{line}' has no partner; there must be one '{begin}' and one '{end}' after it"
        )
    new = [begin + "\n", block.rstrip("\n") + "\n", end + "\n"] if block.strip() else []
    if found:
        lines[found[0][0] : found[1][0] + 1] = new
    elif new:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines += new
    return "".join(lines)


def with_seal(text, notebook):
    """The notebook with a digest of its cells, where there is none (``text`` is None) or one as it was placed; else ``text`` itself."""
    if text is not None and not is_untouched(text):
        return text
    data = json.loads(notebook)
    data["metadata"]["slipway"] = {"digest": digest(data)}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def is_untouched(text):
    try:
        notebook = json.loads(text)
        return notebook["metadata"]["slipway"]["digest"] == digest(notebook)
    except (ValueError, KeyError, TypeError):
        return False


def digest(notebook):
    """Of everything that a person sees: sources, results, the numbers beside them."""
    return hashlib.sha256(json.dumps(notebook["cells"], sort_keys=True).encode()).hexdigest()


def merged_yaml(text, wanted, keep=(), absent=None):
    """Only what changes is written; all else stays as its owner wrote it, to the byte."""
    if not text.strip() and not wanted:
        return text  # so that an empty file needs no ruamel.yaml
    for change, what in ((take_out, absent or {}), (partial(merge, keep=keep), wanted)):
        data = loaded(text)
        new = copy.deepcopy(data)
        change(new, what)
        if not same(new, data):
            text = rewritten(text, data, new)
    return text


def rewritten(text, data, new):
    """The text that says ``new`` in place of ``data``; it's read again before anybody gets it."""
    if data:
        text = YamlEdits(text).rewritten(data, new)
    else:  # comments alone, as Dask leaves its files behind: they stay above what we add
        lines = as_block(new, 0, *indentation(text))
        text += ("\n" if text and not text.endswith("\n") else "") + "".join(f"{line}\n" for line in lines)
    try:
        proven = same(loaded(text), new)
    except RefusedError:
        proven = False
    if not proven:
        # Without the file's content, which may be a secret.
        raise RefusedError(
            "it can't be changed without touching more than was asked; write its keys one a line, and plainly"
        )
    return text


def loaded(text):
    from ruamel.yaml import YAML, YAMLError

    try:
        data = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RefusedError(f"{where}{what}; a YAML file must parse before it can be merged") from error
    if data is not None and not isinstance(data, dict):
        raise RefusedError("line 1: the file holds no mapping (key: value), so there is nothing to merge into")
    return plain(data or {})


def plain(value):
    """Without ruamel.yaml's own classes, and with what a merge key (<<) brings in its place."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


# ---- YAML, written ---------------------------------------------------------------------------------------------

# Everything else could be a number, a date, a truth value or syntax in one version of YAML or the other.
PLAIN_YAML = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)\Z)[a-z/_][\w./-]*\Z", re.IGNORECASE | re.ASCII)
# What YAML wants escaped between quotes, or reads as the end of a line, and JSON doesn't.
ESCAPED_YAML = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
# A key alone on its line, then what may stand between it and its first mapping key or list item: the user's indentation.
YAML_KEY = r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:[ ]*(?:#[^\n]*)?\n)*\1"


def indentation(text):
    """How far the user moves in a mapping's keys, and a list's dashes, below their key."""
    key = re.search(YAML_KEY + r"( +)[^\s#-]", text, re.MULTILINE)
    item = re.search(YAML_KEY + r"( *)- ", text, re.MULTILINE)
    return len(key[2]) if key else 2, len(item[2]) if item else 0


def as_flow(value):
    """On one line. Texts that could be taken for something else go in JSON's quotes, which are YAML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_flow(key)}: {as_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_flow, value)) + "]"
    if isinstance(value, str) and PLAIN_YAML.match(value):
        return value
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(float(value)))  # YAML 1.1 takes 1e+300 for a text
    if not isinstance(value, (str, int, type(None))):
        raise RefusedError(f"{value} stands between braces that would change; write it out, one key a line")
    return ESCAPED_YAML.sub(lambda found: f"\\U{ord(found[0]):08x}", json.dumps(value, ensure_ascii=False))


def as_block(value, column, key_step, dash_step):
    """Lines of a mapping or a list that begin at this column."""
    margin = " " * column
    if isinstance(value, list):
        return [f"{margin}- {as_flow(item)}" for item in value]
    lines = []
    for key, inner in value.items():
        if isinstance(inner, (dict, list)) and inner:
            step = key_step if isinstance(inner, dict) else dash_step
            lines += [f"{margin}{as_flow(key)}:", *as_block(inner, column + step, key_step, dash_step)]
        else:
            lines.append(f"{margin}{as_flow(key)}: {as_flow(inner)}")
    return lines


class YamlEdits:
    """Changes to a YAML text, made at the places where ruamel.yaml says that its parts are."""

    def __init__(self, text):
        from ruamel.yaml import YAML

        self.text = text
        self.steps = indentation(text)
        self.root = YAML(typ="safe", pure=True).compose(text)
        self.edits = []

    def rewritten(self, old, new):
        self.mapping(self.root, old, new)
        text = self.text
        # From the end, so that the places before it stay where they are.
        for (start, stop, _), put in sorted(self.edits, reverse=True):
            text = text[:start] + put + text[stop:]
        return text

    def edit(self, start, stop, put):
        self.edits.append(((start, stop, len(self.edits)), put))

    def mapping(self, node, old, new, path=()):
        """Make the mapping ``node``, which says ``old``, say ``new``."""
        if node.flow_style:
            if not same(old, new):
                self.edit(node.start_mark.index, node.end_mark.index, as_flow(new))
            return
        pairs = {key.value: (key, value) for key, value in node.value}
        for key in old:
            if key not in new:
                self.remove(*self.own(pairs, key, path))
            elif isinstance(old[key], dict) and isinstance(new[key], dict):
                if not same(old[key], new[key]):
                    self.mapping(self.own(pairs, key, path)[1], old[key], new[key], (*path, key))
            elif not same(old[key], new[key]):
                self.replace(*self.own(pairs, key, path), new[key])
        fresh = {key: value for key, value in new.items() if key not in old}
        if fresh:
            self.add_lines(self.end(node), as_block(fresh, node.value[0][0].start_mark.column, *self.steps))

    def own(self, pairs, key, path=()):
        """The nodes of a key and its value, unless they stand in another place too, where nobody asked for the change."""
        if key not in pairs or pairs[key][1].anchor:
            name = ".".join((*path, key))
            raise RefusedError(f"{name} is shared with another place (by &, * or <<); write it out in both")
        return pairs[key]

    def replace(self, key, node, value):
        start, stop = self.span(key, node)
        several = isinstance(value, (dict, list)) and value
        if several and node.id == "scalar":
            # Below the key's line, whose end may hold a comment.
            column = key.start_mark.column + self.steps[isinstance(value, list)]
            self.edit(len(self.text[:start].rstrip(" ")), stop, "")
            self.add_lines(stop, as_block(value, column, *self.steps))
        elif several and isinstance(value, list) and node.id == "sequence" and not node.flow_style:
            lines = as_block(value, node.start_mark.column, *self.steps)
            self.edit(start, stop, "\n".join(lines).lstrip(" "))
        else:
            unfit = start == stop or node.start_mark.column <= key.start_mark.column
            self.edit(start, stop, (" " if unfit else "") + as_flow(value))

    def remove(self, key, node):
        """Take out a key's lines, and a mapping's one by one: the comments between them are the user's."""
        lines = key.end_mark.index
        if node.id == "mapping" and not node.flow_style:
            pairs = {inner.value: (inner, value) for inner, value in node.value}
            for name in pairs:
                self.remove(*self.own(pairs, name))
        else:
            lines = self.span(key, node)[1]
        self.edit(self.text.rfind("\n", 0, key.start_mark.index) + 1, self.line_end(lines) + 1, "")

    def add_lines(self, after, lines):
        self.edit(*[self.line_end(after)] * 2, "".join(f"\n{line}" for line in lines))

    def line_end(self, index):
        found = self.text.find("\n", index)
        return len(self.text) if found < 0 else found

    def span(self, key, node):
        """From where to where a value stands; one that was left empty has its place behind the colon."""
        if node.start_mark.index == node.end_mark.index:
            return [self.text.index(":", key.end_mark.index) + 1] * 2
        return node.start_mark.index, self.end(node)

    def end(self, node):
        """Where the node's last line ends; ruamel.yaml's mark of a block is where the next thing begins, beyond comments."""
        start = node.start_mark.index
        return start + len(re.sub(r"(?:\n[ \t\r]*(?:#[^\n]*)?)+\Z", "", self.text[start : node.end_mark.index]))
