"""Panels: controls beside a picture and a measured number."""
