"""What the hardware does while the training runs: one file per kind of it."""
