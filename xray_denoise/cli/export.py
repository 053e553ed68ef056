"""`xray-denoise export`."""

from typing import Annotated

import typer

from xray_denoise.cli.app import guarded
from xray_denoise.cli.completion import complete_network
from xray_denoise.cli.terminal import one_line, say


@guarded
def export(
    model: Annotated[
        str,
        typer.Argument(
            autocompletion=complete_network, help="A model, or a .safetensors file with its card beside it."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="ONNX file for the result.")],
) -> None:
    """Write a network as ONNX and check it against PyTorch.

    It takes images in grey levels, of any size whose sides are multiples of a number that is printed.
    """
    from xray_denoise.tasks import export as task
    from xray_denoise.tasks.jobs import checked_path

    exported = task.export(model, checked_path(output, "the output", "target"))
    typer.echo(one_line(str(exported.path)))
    say(f"  {exported.bytes / 2**20:.1f} MiB; height and width must be multiples of {exported.stride}")
    say(f"  differs from PyTorch by {exported.difference:.2g} grey levels at most")
