"""Accepts blocks: checks them, skips what is there, stores the rest, and keeps runs' records up to date."""
