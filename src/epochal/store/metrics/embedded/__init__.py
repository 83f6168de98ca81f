"""The metric store that needs nothing installed: SQLite and numpy."""

from epochal.store.metrics.embedded.cache import Cache
from epochal.store.metrics.embedded.store import EmbeddedMetricStore

__all__ = ["Cache", "EmbeddedMetricStore"]
