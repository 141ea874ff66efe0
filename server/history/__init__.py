"""Conversations on disk: what was said, what is being said, and what can be found again.

Knows rows and databases. Knows no sockets, no runs and no models: others say what is to be kept, and when.
"""
