"""Video: vPDQ-compatible hashes of frames, by PyAV, only ever loaded inside a decoder worker.

PyAV's wheels bundle GPL encoders, so it is an extra (``tutela[video]``); without it a video gives
a fault that names the extra, and its digests.
"""

from .decode import SOUND_FORMATS, VideoContent, VideoStream, hash_video
from .rule import VideoShares, compare_videos

__all__ = [
    "SOUND_FORMATS",
    "VideoContent",
    "VideoShares",
    "VideoStream",
    "compare_videos",
    "hash_video",
]
