"""The scripts that measure what documents promise run; what they print is for people."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module docs/`name`.py, found by processes that it starts too."""
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module(name)


@pytest.mark.slow
def test_what_a_user_waits_for_is_measured_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "process.md"
    script("measure_process", monkeypatch).main(["--quick", "--models", "lite", "--threads", "1", "-o", str(told)])
    said = told.read_text(encoding="utf-8")
    for pattern in (
        r"\| lite, torch \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \([\d.]+ to [\d.]+\) \|",
        r"\| lite, torch \| [\d.]+ \| [\d.]+ \| [\d.]+% \|",
        r"\| lite, torch \| \d{3} \| \d{3} \|",
        r"\| torch \| \d{3} \| \d\.\d\d \|",
    ):
        assert re.search(pattern, said), pattern
