"""The DICOM node of `serve`, and the watched folder of `denoise --watch`.

In the order of an object: `receiver` takes it from the network into the `spool`, `worker` denoises it by the `rules`,
`forwarder` brings the result to each of the `destinations`. `service` runs them; `journal` and `metrics` tell of it.
`watch` puts files of a folder in place of the network, with a database of the same kind (`durable`).
"""
