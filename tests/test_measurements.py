"""The scripts that measure what documents promise run; what they print is for people."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_all_that_is_promised_of_a_gpu_is_measured_in_one_go(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("measure_gpu", DOCS / "measure_gpu.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(["--device", "cpu", "--quick", "--model", "lite"])
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
