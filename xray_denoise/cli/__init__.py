"""The command line: parse, call one task, print. The only code that prints, and the only error boundary.

Heavy imports live inside the commands, so that `--help` answers at once.
"""

from xray_denoise.cli.app import app
from xray_denoise.cli.bench import bench
from xray_denoise.cli.denoise import denoise
from xray_denoise.cli.export import export
from xray_denoise.cli.info import info
from xray_denoise.cli.synth import synth
from xray_denoise.cli.train import train

for command in (denoise, synth, train, bench, export, info):
    app.command(epilog="Research use, not a medical device.")(command)


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="xray-denoise")
