"""How much of what people do to pictures is still found, with views and without: the bench."""
