"""Whether what claims to be sound is: parts of it are decoded and thrown away.

Nobody can look for pictures in sound, but a file that only says it is sound may be anything, and
players that go by its content show what it is.
"""

from __future__ import annotations

from typing import Any

SOUND_DECODERS = frozenset(
    {
        *("mp3float", "mp3", "mp2float", "mp2", "mp1float", "mp1", "aac", "flac", "alac"),
        *("vorbis", "opus", "libopus", "libspeex", "speex", "amrnb", "amrwb"),
        *("libopencore_amrnb", "libopencore_amrwb"),
        *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le"),
        *("pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_mulaw"),
        *("pcm_alaw", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "gsm_ms"),
    }
)
"""FFmpeg's names of the decoders of sound that may run."""
STRETCH_BYTES = 256 * 1024
"""Of each stretch of this many bytes of sound…"""
DECODED_PACKETS = 16
"""…this many packets at its beginning are decoded."""
LEAST_FAILED = 3
"""Packets of a stretch that may fail: the first ones of a piece lean on others before them."""


class Sound:
    """One stream of sound: ``take`` its packets in order, then ask ``is_sound`` once."""

    def __init__(self, stream: Any) -> None:
        self._codec = stream.codec_context
        self._decodes = self._codec is not None and self._codec.codec.name in SOUND_DECODERS
        self._packets = self._bytes = 0
        self._looked = self._failed = 0
        self._frames = self._all_failed = 0
        self._wrong = False

    def take(self, packet: Any) -> None:
        """Take the next packet of this stream; decode it if it is one to look at."""
        if not packet.size:
            return
        self._packets += 1
        if not self._decodes:
            return
        if self._bytes >= STRETCH_BYTES:
            self._bytes = self._looked = self._failed = 0
        self._bytes += packet.size
        if self._looked < DECODED_PACKETS:
            self._decode(packet)
            if self._failed > LEAST_FAILED and 4 * self._failed > self._looked:
                self._wrong = True

    def is_sound(self) -> bool:
        """Whether it held packets, and most of those looked at could be decoded. Sound whose
        decoder is not among ours is believed where its container is sound."""
        if not self._packets or not self._decodes:
            return bool(self._packets)
        if not self._frames:
            self._decode(None)
        return not self._wrong and self._frames > self._all_failed

    def _decode(self, packet: Any) -> None:
        import av

        self._looked += 1
        try:
            self._frames += len(self._codec.decode(packet))
        except av.error.EOFError:
            return
        except (av.FFmpegError, ValueError):
            self._failed += 1
            self._all_failed += 1
