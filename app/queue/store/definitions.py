"""definitions: switched on and off, and what the page has written of them. The files themselves are not the queue's."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from app.queue.actor import Actor
from app.queue.changes import DefinitionsChanged, PageTextSaved
from app.queue.definition_actions import said_of_definition
from app.queue.store.actions import record
from app.queue.tables import page_text, switched_off_definition
from app.queue.writer import Transaction


def switch(transaction: Transaction, definition: str, on: bool, actor: Actor) -> None:
    """Lets a definition run, or keeps it from running until it is switched on again. What is so already stays so."""
    row = switched_off_definition.c.definition == definition
    is_off = transaction.connection.execute(select(switched_off_definition.c.at).where(row)).first() is not None
    if on == (not is_off):
        return
    if on:
        transaction.connection.execute(delete(switched_off_definition).where(row))
    else:
        off = {"definition": definition, "at": transaction.now}
        transaction.connection.execute(insert(switched_off_definition), off)
    done = "enabled" if on else "disabled"
    record(transaction, actor, "enable" if on else "disable", said_of_definition(done, definition))
    transaction.changes.append(DefinitionsChanged())


def record_page_text(transaction: Transaction, digest: str, definition: str) -> None:
    """Remembers that the page has written a definition that says this, before its file does."""
    known = select(page_text.c.digest).where(page_text.c.digest == digest)
    if transaction.connection.execute(known).first() is None:
        row = {"digest": digest, "definition": definition, "at": transaction.now}
        transaction.connection.execute(insert(page_text), row)
        transaction.changes.append(PageTextSaved(digest))


def note_new_files(transaction: Transaction) -> None:
    """The files of the definitions are others than before: pages that show them are to be painted anew."""
    transaction.changes.append(DefinitionsChanged())
