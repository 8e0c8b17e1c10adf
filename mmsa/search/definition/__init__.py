"""A space file: its settings, what must hold between them, and how it is read."""
