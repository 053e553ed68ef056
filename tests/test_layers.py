"""The layers of docs/architecture.md hold: a module imports from lower layers only, and there are no cycles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "xray_denoise"
LAYERS = [
    {"errors", "scale", "__init__"},
    {"radiograph", "extras"},
    {"physics"},
    {"nets", "files", "phantom"},
    {"weights"},
    {"denoisers", "reports"},
    {"training"},
    {"tasks"},
    {"bench", "node"},
    {"cli"},
    {"__main__"},
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file; a package stands for its __init__."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports anywhere, except for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    names = {name.removeprefix("xray_denoise.") for name in found if name.startswith("xray_denoise.")}
    return {name for name in names if name in known}


def test_every_module_has_a_layer() -> None:
    assert {name.split(".")[0] for name in modules()} == set(LAYER)


def test_imports_point_down() -> None:
    known = modules()
    wrong = [
        f"{module} imports {used}"
        for module, path in known.items()
        for used in imports(path, known)
        if (home := module.split(".")[0]) != (other := used.split(".")[0]) and LAYER[other] >= LAYER[home]
    ]
    assert not wrong


def test_no_cycles() -> None:
    """A package may be imported by its own modules (for what its __init__ defines), so those edges are left out."""
    known = modules()
    graph = {
        module: {used for used in imports(path, known) if not f"{module}.".startswith(f"{used}.")}
        for module, path in known.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_an_upward_import_would_be_found(tmp_path: Path) -> None:
    offender = tmp_path / "noise.py"
    offender.write_text("def f():\n    from xray_denoise.tasks import denoise\n    import xray_denoise.cli\n")
    assert imports(offender, modules()) == {"tasks", "tasks.denoise", "cli"}
