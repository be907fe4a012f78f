"""What every command imports, and what making an app and looking for step types imports on top."""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path

from app.cli import _COMMANDS
from app.main import create_app
from app.settings import Settings
from app.working import loaded_step_types

for _module, _ in _COMMANDS.values():
    import_module(_module)
for _module in ("lifespan.on", "loops.uvloop", "protocols.http.httptools_impl"):
    import_module(f"uvicorn.{_module}")
loaded_step_types(Settings())
create_app(Settings())
gc.collect()
gc.freeze()  # nobody who is forked off copies it to look through it for garbage
assert len([*Path("/proc/self/task").iterdir()]) == 1, "a process with threads cannot be forked"
