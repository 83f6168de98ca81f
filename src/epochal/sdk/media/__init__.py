"""Values that are stored as files: images, tables and what else a row can point to."""
