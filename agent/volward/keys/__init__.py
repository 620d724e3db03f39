"""Keys: the two protocols, the chain, and one file for each provider."""
