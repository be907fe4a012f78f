"""What handlers ask for by name, in one word each."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request
from litestar.di import NamedDependency

from app.web.access import Access
from app.web.live.hub import Live

AnyRequest: TypeAlias = Request[Any, Any, Any]
TheAccess: TypeAlias = NamedDependency[Access]
TheLive: TypeAlias = NamedDependency[Live]
