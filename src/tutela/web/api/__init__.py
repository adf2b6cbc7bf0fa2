"""The routes of the JSON API, one file per noun."""
