"""Driving signals: drawing, reading and writing poses, part maps and masks."""
