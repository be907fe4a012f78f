"""How a failed piece of work is told."""

from __future__ import annotations

import signal
import traceback
from typing import Any

from app.queue.text import storable, storable_value
from app.work import frames
from app.work.step_type import Document, PassingError, PermanentError


def failed(index: int, error: BaseException) -> frames.Ended:
    """The end of an item, number `index` of its task, whose handler raised."""
    trace = storable("".join(traceback.format_exception(error)))
    return frames.Ended(index, None, told(error), trace, isinstance(error, PermanentError), _asked(error))


def _asked(error: BaseException) -> float | None:
    """The seconds that the error asks to wait, if it does."""
    asked = error.retry_after if isinstance(error, PassingError) else None
    return float(asked) if isinstance(asked, int | float) and asked > 0 else None


def told(error: BaseException) -> str:
    """An exception in one line; a PermanentError's own words, and the kind of any other."""
    said = storable(str(error)).strip()
    if isinstance(error, PermanentError) and said:
        return said
    kind = "sys.exit was called" if isinstance(error, SystemExit) else type(error).__name__
    return f"{kind}: {said}" if said else kind


def storable_result(result: Any) -> Any:
    """The result of a work item, if it can be stored. Raises PermanentError, since trying again would not help."""
    try:
        return storable_value(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the result ({type(result).__name__}) cannot be stored as JSON: {error}") from None


def storable_document(document: Document) -> Document:
    """The document with all its text storable. Raises, where the step type can see it, what would fail later."""
    return Document(
        storable(document.address),
        storable(document.title),
        storable(document.body),
        storable(document.source_type),
        tuple(storable(tag) for tag in document.tags),
        storable_value(document.metadata),
        document.hash(),
    )


def told_exit(status: int) -> str:
    """The end of a process in words, from its exit status as `subprocess` has it."""
    if status >= 0:
        return f"its process exited with status {status}"
    try:
        return f"its process was killed by signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"its process was killed by signal {-status}"
