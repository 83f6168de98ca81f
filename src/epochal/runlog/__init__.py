"""The file a run writes before anything is sent: docs/formats/run-log.md."""
