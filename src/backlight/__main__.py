"""`python -m backlight`, the same as the command `backlight`."""

from backlight.app.cli import main

main(prog_name="backlight")
