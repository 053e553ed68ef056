"""The command line: parse, call one task, print. The only code that prints, and the only error boundary.

Heavy imports live inside the commands, so that `--help` answers at once.
"""

import atexit
import gc

from xray_denoise.cli.app import app
from xray_denoise.cli.bench import bench
from xray_denoise.cli.denoise import denoise
from xray_denoise.cli.export import export
from xray_denoise.cli.info import info
from xray_denoise.cli.measure import measure
from xray_denoise.cli.serve import serve
from xray_denoise.cli.synth import synth
from xray_denoise.cli.terminal import open_standard_streams
from xray_denoise.cli.train import train

RARELY = (50_000, 20, 20)
"""Thresholds of the garbage collector: nearly all that an import makes stays, and it would look for garbage in it."""

for command in (denoise, synth, measure, train, bench, export, serve, info):
    app.command(epilog="Research use, not a medical device.")(command)


def main() -> None:
    """Entry point of the console script."""
    open_standard_streams()
    gc.set_threshold(*RARELY)
    atexit.register(gc.freeze)  # else Python takes torch apart object by object, which takes a fifth of its start
    app(prog_name="xray-denoise")
