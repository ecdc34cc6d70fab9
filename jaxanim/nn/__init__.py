"""Layers that the backbones share."""
