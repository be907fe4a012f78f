"""Editing definitions as text. Whatever keeps a text from being saved, the answer is a page with that text in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from litestar import MediaType, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from markupsafe import escape

from app.queue.store.definitions import note_new_files, record_page_text
from app.queue.writer import WriteFailed
from app.web import dom
from app.web.access import Access
from app.web.dependencies import AnyRequest, TheAccess, TheLive
from app.web.editor import Editor, Fault, NotEditable, TextChanged
from app.web.errors import Conflict, Refused
from app.web.live.hub import Live
from app.web.templating import shown

EDITING_IS_OFF = (
    "Definitions cannot be edited in the page: editing is off. Start the server with --edit-definitions "
    "(STEPGLASS_EDIT_DEFINITIONS=on), or edit the file by hand"
)
NEW = """\
id = "my_definition"
name = "My definition"

[step.first]
type = "test_job_generator"
"""
"""What a new definition begins with."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the page of the editor shows."""

    id: str | None
    """None for a definition that is new."""
    text: str
    base: str = ""
    note: str = ""
    refusal: str = ""
    problems: Sequence[Fault] = ()
    problems_kept_it: bool = False
    verdict: str = ""
    changed: bool = False
    now: str | None = None
    """What the file says, if that is not what was opened."""
    may_edit: bool = True
    can_delete: bool = False

    @property
    def heading(self) -> str:
        return f"Edit {self.id}" if self.id else "New definition"

    @property
    def action(self) -> str:
        return f"{dom.definition_url(self.id)}/text" if self.id else dom.DEFINITIONS_URL


@get("/definition-editor", include_in_schema=False)
async def new_definition(access: TheAccess, live: TheLive) -> Response[str]:
    editor = _editor(access)
    return _show(live, access, Desk(None, NEW, note=_saved_to(editor)))


@get("/definitions/{definition_id:str}/text", include_in_schema=False)
async def edit_definition(definition_id: FromPath[str], access: TheAccess, live: TheLive) -> Response[str]:
    return _show(live, access, await _opened(_editor(access), definition_id))


@post("/definitions", include_in_schema=False)
async def create_definition(request: AnyRequest, access: TheAccess, live: TheLive) -> Response[str] | Redirect:
    return await _take(None, request, access, live)


@post("/definitions/{definition_id:str}/text", include_in_schema=False)
async def save_definition(
    definition_id: FromPath[str], request: AnyRequest, access: TheAccess, live: TheLive
) -> Response[str] | Redirect:
    return await _take(definition_id, request, access, live)


@post("/definitions/{definition_id:str}/deletion", include_in_schema=False)
async def delete_definition(definition_id: FromPath[str], request: AnyRequest, access: TheAccess) -> Redirect:
    """Removes the file of a definition; its runs stay."""
    base = str((await request.form()).get("base", ""))
    editor = _editor(access)
    try:
        await asyncio.to_thread(editor.delete, definition_id, base)
    except (NotEditable, TextChanged) as refusal:
        raise Conflict(f"{refusal}; it was not deleted", dom.definition_url(definition_id)) from refusal
    except OSError as error:
        raise Conflict(f"the file cannot be removed ({error.strerror})", dom.definition_url(definition_id)) from error
    await access.writer(note_new_files)
    return Redirect(dom.DEFINITIONS_URL, status_code=303)


def _editor(access: Access) -> Editor:
    """Raises Refused."""
    if access.catalog.editor is None:
        raise Refused(HTTPStatus.FORBIDDEN, EDITING_IS_OFF)
    return access.catalog.editor


async def _opened(editor: Editor, definition_id: str) -> Desk:
    """Raises NotFoundException or Conflict."""
    try:
        opened = await asyncio.to_thread(editor.open, definition_id)
    except NotEditable as refusal:
        raise Conflict(str(refusal), dom.definition_url(definition_id)) from refusal
    if opened is None:
        raise NotFoundException(f"There is no definition {definition_id!r}.")
    note = f"Saved to {opened.path}."
    if opened.copied_from:
        note = (
            f"It comes with Stepglass. A copy is saved to {opened.path}, and takes the place of {opened.copied_from}."
        )
    # What it may not do as text of the page is told before anybody types.
    checked = await asyncio.to_thread(editor.check, opened.text, definition_id)
    return Desk(
        definition_id,
        opened.text,
        opened.base,
        note,
        problems=checked.problems,
        can_delete=not opened.copied_from,
    )


async def _take(definition_id: str | None, request: AnyRequest, access: Access, live: Live) -> Response[str] | Redirect:
    """Checks what was typed, and saves it if that was asked for and nothing is wrong."""
    form = await request.form()
    text = str(form.get("text", "")).replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    desk = Desk(definition_id, text, str(form.get("base", "")))
    editor = access.catalog.editor
    if editor is None:
        return _show(live, access, replace(desk, refusal=EDITING_IS_OFF, may_edit=False), HTTPStatus.FORBIDDEN)
    desk = replace(desk, note=_saved_to(editor) if definition_id is None else "")
    saving = form.get("action") != "check"
    checked = await asyncio.to_thread(editor.check, text, definition_id)
    if checked.problems:
        desk = replace(desk, problems=checked.problems, problems_kept_it=saving)
        return _show(live, access, desk, HTTPStatus.UNPROCESSABLE_ENTITY)
    if not saving:
        steps = f"{checked.steps} step{'' if checked.steps == 1 else 's'}"
        return _show(live, access, replace(desk, verdict=f"{checked.id}, {steps}; not saved yet"))
    try:
        await asyncio.to_thread(editor.ensure_unchanged, checked, desk.base)
        # Before the file: one that the page has written must never be without its record.
        await access.writer(record_page_text, checked.digest, checked.id)
        await asyncio.to_thread(editor.save, checked, text, desk.base)
        await access.writer(note_new_files)
    except TextChanged as refusal:
        desk = replace(desk, refusal=str(refusal), changed=True, now=refusal.now, base=refusal.base)
        return _show(live, access, desk, HTTPStatus.CONFLICT)
    except NotEditable as refusal:
        return _show(live, access, replace(desk, refusal=str(refusal)), HTTPStatus.CONFLICT)
    except OSError as error:
        reason = f"{checked.path} cannot be written ({error.strerror}); make room, or make the folder writable"
        return _show(live, access, replace(desk, refusal=reason), HTTPStatus.SERVICE_UNAVAILABLE)
    except WriteFailed as error:
        return _show(live, access, replace(desk, refusal=f"the database {error}"), HTTPStatus.SERVICE_UNAVAILABLE)
    return Redirect(dom.definition_url(checked.id), status_code=303)


def _saved_to(editor: Editor) -> str:
    return f"Saved to {editor.folder}, under its id."


def _show(live: Live, access: Access, desk: Desk, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    template = live.easel.painter.environment.get_template("pages/definition_editor.html")
    lines = desk.text.split("\n")
    html = template.render(
        desk=desk,
        lines=lines,
        wrong={problem.line for problem in desk.problems},
        unseen=[number for number, line in enumerate(lines, start=1) if shown(line) != line],
        # As it was typed: what cannot be seen must not come back as the symbol for it.
        raw_text=escape(desk.text),
        revision=access.monitor.revision,
    )
    return Response(html, status_code=status, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})
