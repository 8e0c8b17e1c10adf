"""What a search varies: parameters, the constraints between them, and their check against a base."""
