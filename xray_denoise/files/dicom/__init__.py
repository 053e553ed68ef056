"""DICOM files.

In the order of an image: `opening` opens a file within the limits of `guard`, `layout` describes its pixels,
`fragments`, `codestream` and `codecs` decode them, `read` makes radiographs of them; `render` shows them, `derive`
makes the header of a denoised object, `phantom` that of a new one, and `write` writes either.
"""
