"""`xray-denoise info`."""

from typing import Annotated

import typer

from xray_denoise.cli.app import guarded


@guarded
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print versions, devices, DICOM decoders and models: what a maintainer asks for first."""
    import json

    from xray_denoise.tasks.info import facts

    sections = facts()
    if as_json:
        typer.echo(json.dumps(sections))
        return
    for title, entries in sections.items():
        typer.echo(title)
        for name, value in entries.items():
            typer.echo(f"  {name:<28} {value}")
