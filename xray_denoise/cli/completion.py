"""Names for shell completion."""


def complete_model(beginning: str) -> list[str]:
    """Names of models and classical methods."""
    from xray_denoise import denoisers

    return [name for name in (denoisers.AUTO, *denoisers.names()) if name.startswith(beginning)]


def complete_network(beginning: str) -> list[str]:
    """Names of models that have weights."""
    from xray_denoise import weights

    return [name for name in weights.names() if name.startswith(beginning)]
