"""How large what is logged may be."""

from __future__ import annotations

MAX_VALUE_BYTES = 16 << 20
"""Of one value of a row, encoded."""

MAX_ROW_BYTES = 256 << 20
"""Of one call of `log()`, encoded; a frame of the run log holds no more."""

MAX_CONFIG_BYTES = 64 << 20
"""Of a change of config, encoded."""
