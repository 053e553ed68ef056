"""xray-denoise: remove the noise of low-dose X-ray radiographs.

Read the package from the top: `cli` calls one task of `tasks`, which reads a `Radiograph` through `files`,
hands its grey levels to one of the `denoisers`, and writes the result. docs/architecture.md draws the layers.
"""

__version__ = "0.1.0"
