"""`python -m backlight`, the same as the command `backlight`."""

from backlight.app.cli import main

if __name__ == "__main__":
    main(prog_name="backlight")
