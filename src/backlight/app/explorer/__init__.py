"""The explorer: a Dash application around the panels, and the server it runs on."""
