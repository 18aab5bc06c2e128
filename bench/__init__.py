"""Measurements against the goals; nothing here is a test, since machines differ."""
