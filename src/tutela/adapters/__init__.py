"""Entrances for other software."""
