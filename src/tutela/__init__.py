"""Tutela: a self-hosted child-safety system for platforms."""

__version__ = "0.1.0"
