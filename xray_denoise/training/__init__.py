"""How a network is trained: patches with fresh noise, the loss, presets, and the loop."""
