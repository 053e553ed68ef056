"""The scale of grey levels, 0..255 over the value range of a file, whatever its bit depth; networks see grey / 255."""

GREY_MAX = 255.0
"""The grey level of white, at the upper end of the value range."""
MID_GREY = GREY_MAX / 2
"""The grey level at which one number stands for the strength of noise."""
