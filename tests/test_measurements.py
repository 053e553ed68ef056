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


def test_all_that_is_promised_of_a_gpu_is_measured_in_one_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script("measure_gpu", monkeypatch).main(["--device", "cpu", "--quick", "--model", "lite"])
    said = capsys.readouterr().out
    for pattern in (
        r"fp16, launched, fused: [\d.e+]+ ms",
        r"bf16 against fp32 \([\d.]+ dB, 3 images\): loses -?\d\.\d+ dB",
        r"of it without the network: [\d.]+ ms",
        r"decoders alone: [\d.e+]+ files/s",
        r"lite: [\d.e+]+ files/s, \d+% of the decoders\n",
        r"128x128: \d+ MiB resident",
    ):
        assert re.search(pattern, said), pattern
    assert "fp16: fused convolutions do not" not in said


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
