"""The index of signals: exact search by PDQ and by digest, over one memory-mapped snapshot.

``Index`` answers, ``build_snapshot`` makes what it answers from, ``Change`` is what happened since.
"""

from .building import build_snapshot
from .index import SNAPSHOT_NAME, Change, Hit, Index
from .search import MAX_RADIUS

__all__ = ["MAX_RADIUS", "SNAPSHOT_NAME", "Change", "Hit", "Index", "build_snapshot"]
