"""Searches whose processes are killed at random moments, compared with uninterrupted ones."""
