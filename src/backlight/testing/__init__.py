"""Checks that plugin authors run on their own package; each raises AssertionError that says what to mend."""

from backlight.testing.entries import check_registry_entry

__all__ = ["check_registry_entry"]
