"""docs/faults.md is true: it names for each fault the tests that are marked with its number, and some of each class run on every push."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
NUMBERS = range(1, 39)
TESTS = sorted([*PROJECT.glob("molecule/*/tests/test_*.py"), *PROJECT.glob("tests/*/test_*.py")])


def marks(function):
    """The numbers in the decorators ``pytest.mark.fault(n)`` of a function."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            yield ast.literal_eval(decorator.args[0])
        elif "mark.full" in ast.unparse(decorator):
            yield "full"


@pytest.fixture(scope="module")
def marked():
    """The tests by fault: ``{number: {name: whether it runs on every push}}``."""
    found = {}
    for path in TESTS:
        tree = ast.parse(path.read_text())
        native = path.stem.endswith("_native") or path.parent.name in ("native", "browser")
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            said = list(marks(function))
            for number in said:
                if number != "full":
                    found.setdefault(number, {})[function.name] = not native and "full" not in said
    return found


@pytest.fixture(scope="module")
def listed():
    """The list: ``{class: {number: {names of tests}}}``, a class being a heading."""
    classes, heading = {}, ""
    for line in (PROJECT / "docs/faults.md").read_text().splitlines():
        if line.startswith("## "):
            heading = line[3:]
        row = re.match(r"\| (\d+) \|", line)
        if row:
            classes.setdefault(heading, {})[int(row[1])] = set(re.findall(r"`(test_\w+)`", line))
    return classes


def test_every_fault_is_listed_once(listed):
    assert sorted(number for faults in listed.values() for number in faults) == list(NUMBERS)


def test_every_fault_is_listed_with_its_tests_and_no_others(listed, marked):
    told = {number: names for faults in listed.values() for number, names in faults.items()}
    assert [number for number, names in told.items() if not names] == []
    wrong = {number: names ^ set(marked.get(number, ())) for number, names in told.items()}
    assert {number: names for number, names in wrong.items() if names} == {}


def test_one_of_each_class_runs_on_every_push(listed, marked):
    pushed = {heading: [n for n in faults if any(marked.get(n, {}).values())] for heading, faults in listed.items()}
    assert {heading for heading, numbers in pushed.items() if not numbers} == set()


def test_no_two_tests_that_are_marked_have_one_name():
    """The list tells them by name alone."""
    names = [
        node.name
        for path in TESTS
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and any(number != "full" for number in marks(node))
    ]
    assert len(names) == len(set(names))
