"""The command line, the web application and the demo; everything concrete is reached through the registry."""
