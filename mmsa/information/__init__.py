"""Information: estimators as losses, conditional information, distributions whose truth is known."""
