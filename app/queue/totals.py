"""Totals: what a step has used in all, by name, such as tokens and what they cost. Step types say what they add."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from app.queue.text import storable

MOST_NAMES = 50
"""Totals of one step; further names are passed over."""


def amounts(given: Mapping[str, float]) -> dict[str, float]:
    """The amounts as they can be stored. Raises ValueError for what is no number."""
    for name, amount in given.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
            raise ValueError(f"{name}: {amount!r} is not an amount")
    return {storable(str(name)): amount for name, amount in given.items()}


def added(totals: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    both = dict(totals)
    for name, amount in more.items():
        if name in both or len(both) < MOST_NAMES:
            both[name] = both.get(name, 0) + amount
    return both


def told(totals: Iterable[tuple[str, float]]) -> str:
    """requests 20, input tokens 2,000, cost 0.0123"""
    return ", ".join(f"{name.replace('_', ' ')} {told_amount(amount)}" for name, amount in totals)


def told_amount(amount: float) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:,.6g}"
