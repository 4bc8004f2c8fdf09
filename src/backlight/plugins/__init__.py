"""Built-in plugins, found through entry points like anybody else's.

Importing one of them binds this package to `backlight.plugins`, where the function of that name was; so the
package can be called too, and does the same.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from backlight.core.registry import plugins

if TYPE_CHECKING:
    from backlight.core.hookspecs import Kind
    from backlight.core.registry import Plugin


class _Callable(ModuleType):
    def __call__(self, kind: Kind | None = None, *, load: bool = False) -> tuple[Plugin, ...]:
        return plugins(kind, load=load)


_Callable.__call__.__doc__ = plugins.__doc__
sys.modules[__name__].__class__ = _Callable
