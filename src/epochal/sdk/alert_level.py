"""How urgent an alert is."""

from __future__ import annotations

from enum import StrEnum


class AlertLevel(StrEnum):
    """Of an alert, least urgent first."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"
