"""Rules: the first that fits decides, and what is wrong in a file is told."""

from pathlib import Path

import pytest

from xray_denoise.errors import UnreadableFileError, UsageError
from xray_denoise.node.rules import Facts, Treatment, read_rules

DEFAULT = Treatment("denoise", "auto", 1.0, ("here",))


def rules(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_rule_that_fits_decides(tmp_path: Path) -> None:
    path = rules(
        tmp_path,
        """
        [[rule]]
        modality = "mg"
        action = "pass"
        [[rule]]
        modality = ["CR", "DX"]
        station = "ROOM*"
        strength = 0.5
        to = ["a", "b"]
        [[rule]]
        calling_ae = "XR?"
        body_part = "CHEST"
        model = "lite"
        strength = "auto"
        """,
    )
    found = read_rules(path, DEFAULT)
    assert found.treatment(Facts("MG", station="ROOM1")).action == "pass"
    assert found.treatment(Facts("CR", station="room 7")) == Treatment("denoise", "auto", 0.5, ("a", "b"))
    assert found.treatment(Facts("DX", "chest", "X", "XR1")) == Treatment("denoise", "lite", "auto", ("here",))
    assert found.treatment(Facts("DX", "CHEST", "X", "XR12")) == DEFAULT
    assert found.models == {"auto", "lite"}
    assert found.ask_sender


def test_a_rule_without_condition_fits_everything(tmp_path: Path) -> None:
    found = read_rules(rules(tmp_path, "[[rule]]\naction = 'pass'"), DEFAULT)
    assert found.treatment(Facts()).action == "pass"
    assert not found.ask_sender


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[rule]]\nmodalty = 'CR'", "rule 1 has an unknown key 'modalty'"),
        ("[rules]\n", "and nothing else"),
        ("rule = 7", "and nothing else"),
        ("[[rule]]\naction = 'drop'", "neither denoise nor pass"),
        ("[[rule]]\nmodel = 7", "is no name"),
        ("[[rule]]\nstrength = 1.5", "rule 1: the strength"),
        ("[[rule]]\nstrength = true", "neither a number nor auto"),
        ("[[rule]]\nto = []", "'to' of rule 1"),
        ("[[rule]]\nmodality = [1]", "'modality' of rule 1"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read_rules(rules(tmp_path, text), DEFAULT)


def test_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    for path in (rules(tmp_path, "rule = ["), tmp_path / "none.toml"):
        with pytest.raises(UnreadableFileError, match="cannot read the rules"):
            read_rules(path, DEFAULT)
