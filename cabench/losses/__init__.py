"""Pairwise losses."""
