"""Errors say what is wrong in terms of the library; the command line alone knows its options."""

import ast
import pickle
import re
import traceback
from pathlib import Path

import pytest

from xray_denoise.cli.app import FLAGS, complain_of
from xray_denoise.errors import UsageError

PACKAGE = Path(__file__).resolve().parents[1] / "xray_denoise"
PATH_NAME = re.compile(r"(^|[.])(path|target|folder|source)$")
FLAG = re.compile(r"(?<![\w-])--?[a-z]")


def raised_texts() -> list[str]:
    """Messages and hints of all errors that the library raises, as they stand in its source."""
    texts = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error"):
                said = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "hint")]
                texts += [ast.unparse(part) for part in said]
    return texts


def test_no_error_of_the_library_names_an_option_of_the_command_line() -> None:
    texts = raised_texts()
    assert len(texts) > 300
    assert [text for text in texts if FLAG.search(text)] == []


def formatted_paths(source: str) -> list[str]:
    """Errors that format a path into their message, where programs and the report cannot tell it from the rest."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and node.args:
            values = [part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.FormattedValue)]
            found += [text for text in map(ast.unparse, values) if PATH_NAME.search(text)]
    return found


def test_errors_of_files_tell_the_path_apart() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (PACKAGE / "files").rglob("*.py")]
    assert len(sources) > 15
    assert [text for source in sources for text in formatted_paths(source)] == []


@pytest.mark.parametrize("text", ["f'{path} is damaged'", "f'cannot write {self.target}: {what}'", "f'{x.source} 1'"])
def test_a_path_in_a_message_would_be_found(text: str) -> None:
    assert formatted_paths(f"raise UnreadableFileError({text}, hint='none')")


@pytest.mark.parametrize("text", ["'use --bits 16'", "'choose another with -o'", "f'{x}: leave out --compress'"])
def test_an_option_would_be_found(text: str) -> None:
    assert FLAG.search(text)


def test_the_command_line_adds_its_option_to_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    for option, flag in {**FLAGS, "batch_size": "--batch-size"}.items():
        complain_of(UsageError("wrong", hint="mend it", option=option))
        assert capsys.readouterr().err == f"error: wrong\nhint:  mend it ({flag})\n"


def test_a_traceback_ends_with_the_hint() -> None:
    error = UsageError("strength is 0 to 1, got 2", hint="1 removes all of the noise")
    for one in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - its own
        assert traceback.format_exception(one)[-2:] == [
            "xray_denoise.errors.UsageError: strength is 0 to 1, got 2\n",
            "hint: 1 removes all of the noise\n",
        ]
    assert "hint" not in "".join(traceback.format_exception(UsageError("no such model")))
