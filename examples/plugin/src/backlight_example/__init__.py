"""One plugin of each kind, as an example of a third-party package."""
