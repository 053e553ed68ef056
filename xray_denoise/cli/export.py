"""`xray-denoise export`."""

from pathlib import Path
from typing import Annotated

import typer

from xray_denoise.cli.app import guarded, one_line, say


@guarded
def export(
    model: Annotated[str, typer.Argument(help="A model, or a .safetensors file with its card beside it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ONNX file for the result.")],
) -> None:
    """Write a model as ONNX, for images of any size in grey levels, and check it against PyTorch."""
    from xray_denoise.tasks import export as task

    exported = task.export(model, output)
    typer.echo(one_line(str(exported.path)))
    say(f"  {exported.bytes / 2**20:.1f} MiB; height and width must be multiples of {exported.stride}")
    say(f"  differs from PyTorch by {exported.difference:.2g} grey levels at most")
