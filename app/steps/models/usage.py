"""What asking a model has used, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Per million tokens, in whatever currency they are given in."""

    input: float = 0.0
    output: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    requests: int = 0
    """Those that were answered."""
    input_tokens: int = 0
    """As the endpoint counts them; 0 where it does not."""
    output_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )

    def cost(self, prices: Prices) -> float:
        return (self.input_tokens * prices.input + self.output_tokens * prices.output) / _MILLION

    def amounts(self, prices: Prices) -> dict[str, float]:
        """By name; the cost only where there are prices."""
        amounts: dict[str, float] = {
            "requests": self.requests,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }
        return amounts | ({"cost": round(self.cost(prices), 9)} if prices != Prices() else {})
