"""DICOM files.

In the order of an image: `guard` opens a file, `layout` describes its pixels, `fragments`, `codestream` and
`codecs` decode them, `read` makes radiographs of them; `render` shows them, `write` derives objects from them, and
`phantom` makes new ones.
"""
