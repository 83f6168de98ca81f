"""Sends run logs to a server: used by the sidecar while a run lives, and by `epochal sync` afterwards."""
