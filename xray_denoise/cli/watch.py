"""`xray-denoise denoise --watch`: a run without end."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from xray_denoise.cli.outcomes import tell_outcome
from xray_denoise.cli.signals import stopped_by_signals
from xray_denoise.cli.terminal import libraries_muted, one_line, say
from xray_denoise.errors import UsageError

if TYPE_CHECKING:
    from xray_denoise import Batch
    from xray_denoise.tasks.naming import Naming


def watch_folder(
    inputs: list[str],
    output: str,
    plan: "Callable[[Path], Batch]",
    naming: "Naming",
    *,
    as_json: bool,
) -> None:
    """Watch a folder until a signal.

    Args:
        inputs: the folder.
        output: folder of the results.
        plan: plans the run for a file.
        naming: of the results.
        as_json: print outcomes as JSON.

    Raises:
        UsageError: it is not one folder.
    """
    from xray_denoise.node.watch import WatchedFolder
    from xray_denoise.tasks.jobs import checked_path

    if len(inputs) != 1:
        raise UsageError("--watch takes one folder", hint="start one process for each folder")
    folder, target = checked_path(inputs[0], "the input"), checked_path(output, "the output", "target")
    watched = WatchedFolder(folder, target, naming, plan, stopped_by_signals())
    say(f"watching {one_line(str(folder))}")
    counts = {"written": 0, "skipped": 0, "failed": 0}
    with libraries_muted():
        for outcome in watched.outcomes():
            counts[outcome.status] += 1
            device = watched.batch.device if watched.batch else ""
            tell_outcome(outcome, device, numbered=True, as_json=as_json)
    say(", ".join(f"{count} {status}" for status, count in counts.items()))
