"""transform: works out a value from documents, by a Jinja expression; a result, or more documents."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from typing import Any, Literal

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field, field_validator

from app.steps.source_tree import printable
from app.work.step_type import Context, Document, PermanentError, Settings, StepType, StoredDocument, WorkItem

SOURCE_TYPE = "transform"

MOST_MEMORY = 512 << 20
"""Bytes that an expression may take on top of what the process has."""
MOST_TEXT = 10 << 20
"""Characters of one document's body."""
MOST_DOCUMENTS = 10_000
LONGEST_EXPRESSION = 10_000

_FIELDS = ("address", "title", "body", "tags", "metadata")


class TransformSettings(Settings):
    expression: str
    """A Jinja expression, without braces, over `document` or `documents`, and `parameters`."""
    over: Literal["each", "all"] = "each"
    """One work item for each document, as `document`; or one for all of them, as `documents`."""
    filter_tags: list[str] = Field(default_factory=list)
    """Only documents that carry all of these."""
    filter_source_type: str = ""
    """Only documents of this source type."""
    filter_limit: int = Field(1000, ge=1, le=100_000)
    """How many documents at the most, in the order of their addresses."""
    where: str = ""
    """An expression over `document`; only those for which it is true."""
    save_as: str = ""
    """An expression for the address of a document that the value becomes; without one the value is the result."""
    tags: list[str] = Field(default_factory=list)
    """Of the documents that are saved."""

    @field_validator("expression", "where", "save_as")
    @classmethod
    def _is_expression(cls, text: str) -> str:
        if text:
            compiled(text)
        return text

    @field_validator("expression")
    @classmethod
    def _is_given(cls, text: str) -> str:
        if not text.strip():
            raise ValueError('must be an expression such as "document.title | upper", not an empty text')
        return text


class Transform(StepType[TransformSettings]):
    """An expression can change nothing, reach nothing but what it is given, and is ended by the work item's timeout."""

    name = "transform"
    summary = "Works out a value from documents by a Jinja expression; a result, or more documents."
    settings_type = TransformSettings
    timeout = 30.0

    def plan(self, context: Context[TransformSettings]) -> Iterator[WorkItem]:
        if context.settings.over == "all":
            yield WorkItem("all documents")
            return
        for document in _found(context, bodies=False):
            yield WorkItem(printable(document.address), {"address": document.address})

    def run(self, context: Context[TransformSettings], item: WorkItem) -> Any:
        """The value of the expression; or, where it is saved, how many documents were."""
        if item.input is None:
            return self._of_all(context)
        document = context.document(item.input["address"])
        if document is None:
            context.log(f"{item.name}: skipped, the document is gone", "warn")
            return None
        with _bounded():
            if not _is_wanted(context, document):
                context.log(f"{item.name}: left out, `where` is not true")
                return None
            return _settled(context, {"document": document}, document.title)

    def _of_all(self, context: Context[TransformSettings]) -> Any:
        with _bounded():
            documents = tuple(document for document in _found(context) if _is_wanted(context, document))
            context.log(f"over {len(documents):,} documents")
            return _settled(context, {"documents": documents}, "")


def _found(context: Context[TransformSettings], bodies: bool = True) -> Iterator[StoredDocument]:
    settings = context.settings
    source_type = settings.filter_source_type or None
    found = context.documents(tags=settings.filter_tags, source_type=source_type, bodies=bodies)
    return islice(found, settings.filter_limit)


def _is_wanted(context: Context[TransformSettings], document: StoredDocument) -> bool:
    where = context.settings.where
    return not where or bool(_value("where", where, context, {"document": document}))


def _settled(context: Context[TransformSettings], names: dict[str, Any], title: str) -> Any:
    """The value; or, where values are saved, how many documents were."""
    settings = context.settings
    value = _value("expression", settings.expression, context, names)
    if not settings.save_as:
        context.log(f"result: {_shown(value)}")
        return _plain(value)
    saved = 0
    for each in value if isinstance(value, list | tuple) else [value]:
        if each is None:
            continue
        if saved == MOST_DOCUMENTS:
            raise PermanentError(f"the expression gives more than {MOST_DOCUMENTS:,} documents")
        document = _document(each, title, settings.tags)
        address = _value("save_as", settings.save_as, context, {**names, "value": each})
        _save(context, document(_text("save_as", address)))
        saved += 1
    return {"documents": saved}


def _document(value: Any, title: str, tags: list[str]) -> Callable[[str], Document]:
    """From an address to the document that a value describes: a text is its body, a mapping has its fields."""
    fields: Mapping[str, Any] = {"body": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping):
        raise PermanentError(f"a document is a text or a mapping with {_list(_FIELDS[1:])}, not {_shown(value)}")
    if unknown := [key for key in fields if key not in _FIELDS[1:]]:
        raise PermanentError(f"{unknown[0]!r} is no field of a document; those are {_list(_FIELDS[1:])}")
    body = _text("body", fields.get("body", ""))
    if len(body) > MOST_TEXT:
        raise PermanentError(f"a body of {len(body):,} characters is longer than {MOST_TEXT:,}, the most there may be")
    own = _plain(fields.get("tags", []))
    metadata = _plain(fields.get("metadata", {}))
    if not isinstance(own, list) or not isinstance(metadata, dict):
        raise PermanentError("tags are a list and metadata a mapping")
    every = tuple(dict.fromkeys([*tags, *(_text("tags", tag) for tag in own)]))

    def at(address: str) -> Document:
        shown = _text("title", fields.get("title", title)) or address
        return Document(address, shown, body, SOURCE_TYPE, every, {SOURCE_TYPE: metadata})

    return at


def _save(context: Context[TransformSettings], document: Document) -> None:
    stored = context.document(document.address)
    if stored is not None and stored.source_type != SOURCE_TYPE:
        raise PermanentError(
            f"{printable(document.address)} is a document of another kind ({stored.source_type}), and is not "
            "overwritten; let save_as give an address of its own, such as \"'short:' ~ document.address\""
        )
    context.save_document(document)
    context.log(f"saved {printable(document.address)}")


def _value(setting: str, text: str, context: Context[TransformSettings], names: dict[str, Any]) -> Any:
    """What an expression gives. Raises PermanentError, naming the setting: it would give the same again."""
    try:
        value = compiled(text)(parameters=dict(context.parameters), **names)
        if isinstance(value, Undefined):
            str(value)  # raises, and says what is not there
        return value
    except SecurityError as error:
        raise PermanentError(
            f"{setting}: {str(error).rstrip('.')}; expressions only read what they are given"
        ) from None
    except UndefinedError as error:
        raise PermanentError(f"{setting}: {error}") from None
    except MemoryError:
        raise PermanentError(f"{setting}: takes more than {MOST_MEMORY >> 20} MiB of memory") from None
    except Exception as error:
        raise PermanentError(f"{setting}: {type(error).__name__}: {error}") from None


@lru_cache(maxsize=64)
def compiled(text: str) -> TemplateExpression:
    """The expression. Raises ValueError saying what is wrong with it."""
    if len(text) > LONGEST_EXPRESSION:
        raise ValueError(f"an expression of {len(text):,} characters is longer than {LONGEST_EXPRESSION:,}")
    try:
        return _sandbox().compile_expression(text, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise ValueError(f"{text!r} is not a Jinja expression ({error.message}); write it without braces") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("the expression is nested too deeply") from None


@lru_cache(maxsize=1)
def _sandbox() -> ImmutableSandboxedEnvironment:
    # Not optimized: what is constant would be worked out when a definition is checked, in the server, without a limit.
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, optimized=False, autoescape=False)
    sandbox.globals = {name: sandbox.globals[name] for name in ("range", "dict", "namespace")}
    return sandbox


@contextmanager
def _bounded() -> Iterator[None]:
    """Inside, the process gets a limited amount of memory more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _memory() + MOST_MEMORY
    lowered = soft if soft != resource.RLIM_INFINITY and soft < limit else limit
    with suppress(ValueError, OSError):  # where it cannot be limited, the timeout is what there is
        resource.setrlimit(resource.RLIMIT_AS, (lowered, hard))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _memory() -> int:
    """Bytes of address space that this process has."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 4 << 30


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: tuples, generators and sets are lists, documents their addresses."""
    if isinstance(value, StoredDocument):
        return value.address
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, str | int | float | bool | None):
        return str(value) if isinstance(value, str) else value
    try:
        return [_plain(each) for each in value]
    except TypeError:
        raise PermanentError(f"the value is a {type(value).__name__}, which is no result") from None


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str) or (what == "save_as" and not value.strip()):
        raise PermanentError(f"{what} must be a text, not {_shown(value)}")
    return str(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _list(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
