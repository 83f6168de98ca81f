"""Objects of plotting and table libraries, logged as they are."""

from __future__ import annotations

from typing import Any

from epochal.sdk.media.base import StoredMedia


def media_of(value: Any, library: str) -> StoredMedia | None:  # noqa: ANN401  of a library we do not import
    """Return what a value of `library` is stored as; None if it is plain data."""
    from epochal.sdk.media.image import Image
    from epochal.sdk.media.table import Table
    from epochal.sdk.media.text import Plotly

    if library == "pandas":
        return Table(dataframe=value) if type(value).__name__ == "DataFrame" else None
    if library == "plotly":
        return Plotly(value) if hasattr(value, "to_json") else None
    if library == "PIL":
        return Image(value) if hasattr(value, "save") else None
    figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    return Image(figure) if hasattr(figure, "savefig") else None
