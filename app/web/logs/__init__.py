"""Logs: what an address asks of one, the tracks it is made of, the windows that are shown of it."""
