"""Trials on Ray: workers, gangs, the driver between Tune and the study."""
