"""What goes between processes: blocks and messages."""
