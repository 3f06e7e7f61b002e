"""Segment, caption, try off: the three stages over many photos."""
