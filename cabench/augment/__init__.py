"""Batched random views."""
