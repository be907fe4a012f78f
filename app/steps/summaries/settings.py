"""The settings of the step type `summary`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from app.steps.models.settings import ModelSettings, endpoint_of
from app.work.step_type import PermanentError

Kind = Literal["index", "summary", "map"]


class SummarySettings(ModelSettings):
    kind: Kind
    folder: str
    """The code base: the folder that the earlier steps were given."""
    filter_tags: list[str] = Field(default_factory=list)
    """Only files whose documents carry all of these."""
    writer: Literal["auto", "model", "facts"] = "auto"
    """Who writes: a model, the facts alone, or a model where there is one."""
    instructions: str = Field("", max_length=10_000)
    """More that the model is told."""
    max_characters: int = Field(60_000, ge=2000, le=1_000_000)
    """Of the facts that the model is told."""
    max_output_tokens: int = Field(4000, ge=1, le=1_000_000)
    tags: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.writer == "facts" and (self.endpoint or self.model):
            raise ValueError('writer = "facts" asks no model; take out endpoint and model, or the writer')
        return self

    @property
    def needs_model(self) -> bool:
        """Whether it says that it wants one: then nothing is written where none is configured."""
        return self.writer == "model" or bool(self.endpoint or self.model)

    def why_no_model(self) -> str | None:
        """Why there is no model to ask; None if there is one."""
        if self.writer == "facts":
            return 'writer = "facts"'
        try:
            endpoint_of(self)
        except PermanentError as error:
            return str(error)
        return None
