"""Results: the exported configuration, its retraining, the sealed test split, and statistics."""
