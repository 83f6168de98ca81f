"""Telling people of alerts, by e-mail, chat and webhook."""
