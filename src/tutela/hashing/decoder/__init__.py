"""Untrusted bytes are decoded here, in processes of their own, with limits.

``DecoderPool`` starts a *zygote*: a fresh interpreter that loads and warms every codec and kernel
once, shuts itself off from network, files and privileges, and then forks workers in milliseconds.
A file reaches a worker as a descriptor, never as a pickle; what comes back is a ``Media``, checked
field by field. A worker that crashes, hangs or eats memory costs one upload a hold.
"""

from .pool import DecoderPool, PoolHealth

__all__ = ["DecoderPool", "PoolHealth"]
