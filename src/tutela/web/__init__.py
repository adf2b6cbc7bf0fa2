"""The HTTP entrance: JSON API, status page, API keys, limits and metrics."""
