"""`python -m xray_denoise`: the command line."""

from xray_denoise.cli import main

main()
