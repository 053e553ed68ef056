"""Every test that docs/promises.md names is there, and is a test."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "promises.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_promise_names_tests_that_exist() -> None:
    promises = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!promise|-)", line)]
    assert len(promises) > 50
    functions: dict[str, set[str]] = {}
    for line in promises:
        named = NAMED.findall(line)
        assert named, f"no test keeps this promise: {line}"
        for file, name in named:
            if file not in functions:
                tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
                functions[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert name in functions[file], f"{file} has no {name}"
            assert name.startswith("test_")
