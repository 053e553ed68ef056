"""Pure functions of arrays: the noise of X-ray imaging, phantoms, and measures of image quality (numpy only)."""
