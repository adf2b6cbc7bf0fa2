"""Who asks, what for and how often: API keys, scopes and rate limits."""
