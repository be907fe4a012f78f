"""The index of the words of all documents, for SQLite. Triggers keep it true in the transaction that writes."""

from __future__ import annotations

# The index holds no text of its own: it reads that of the documents. So it has to be told what stood there before.
_FORGET = """INSERT INTO document_text (document_text, rowid, title, body)
VALUES ('delete', old.id, old.title, old.body);"""
_LEARN = "INSERT INTO document_text (rowid, title, body) VALUES (new.id, new.title, new.body);"

TOKENIZE = "unicode61 remove_diacritics 2"
"""What a word is: letters and digits of all languages, whatever their case and accents."""
CREATE = (
    "CREATE VIRTUAL TABLE document_text USING fts5"
    f" (title, body, content='document', content_rowid='id', tokenize='{TOKENIZE}')",
    f"CREATE TRIGGER document_text_made AFTER INSERT ON document BEGIN {_LEARN} END",
    f"CREATE TRIGGER document_text_removed AFTER DELETE ON document BEGIN {_FORGET} END",
    "CREATE TRIGGER document_text_changed AFTER UPDATE OF title, body ON document"
    f" WHEN old.title <> new.title OR old.body <> new.body BEGIN {_FORGET} {_LEARN} END",
)
DROP = "DROP TABLE document_text"
FILL = "INSERT INTO document_text (rowid, title, body) SELECT id, title, body FROM document"
"""With all documents that are stored. The index writes what it has learned away a megabyte at a time."""
