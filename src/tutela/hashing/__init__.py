"""Bytes to hashes: digests, PDQ of pictures and their views, frames of video. No state."""
