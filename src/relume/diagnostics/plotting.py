"""relume.plots, or an error that says what it needs."""


def plots():
    """The module; it needs matplotlib, which relume does not."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'relume[plots]'") from error
    from relume import plots

    return plots
