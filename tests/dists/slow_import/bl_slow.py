"""Takes its time to import; counts how often that happened."""

import os
import sys
import time

from backlight.core.hookspecs import ProcessorSpec, hookimpl

sys.bl_slow_imports = getattr(sys, "bl_slow_imports", 0) + 1
if "BL_SLOW_SECONDS" in os.environ:
    print("importing", file=sys.stderr, flush=True)
time.sleep(float(os.environ.get("BL_SLOW_SECONDS", "0.5")))


@hookimpl
def provide_processors() -> list[ProcessorSpec]:
    return [ProcessorSpec("slow", dict)]
