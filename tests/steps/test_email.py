"""Mails are sent as they were meant to, to those they were meant for, and to nobody twice."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.queue.status import Status
from app.steps.email import Email, EmailSettings
from app.work.step_type import PermanentError, StoredDocument

from .conftest import MakeStage, RecordingContext
from .mail_server import MailServer
from .whole_runs import Runs, sound

OPENS = "correct horse"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    names = ["-subj", "/CN=mail.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*made, *names, "-keyout", file, "-out", f"{file}.crt"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed; it makes the certificate for these tests")
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer().serving() as server:
        yield server


async def sent(
    stage: MakeStage, server: MailServer, stored: dict[str, StoredDocument] | None = None, **settings: Any
) -> tuple[dict[str, Any], RecordingContext]:
    given = {"sender": "jobs@example.org", "to": ["a@example.org"], "subject": "Done", "security": "none", **settings}
    on_stage = stage(Email, stored, host="127.0.0.1", port=server.port, **given)
    on_stage.context.step_id = 7
    (result,) = sound(await on_stage.run()).values()
    return result, on_stage.context


async def failure(stage: MakeStage, server: MailServer, kind: type[Exception], **settings: Any) -> str:
    with pytest.raises(kind) as raised:
        await sent(stage, server, **settings)
    return str(raised.value)


async def test_a_mail_tells_of_a_run_with_its_documents(runs: Runs, server: MailServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "größe.md").write_text("# Größe\n")
    ended = await runs.run(
        """
        [parameters.folder]
        type = "folder"
        [parameters.port]
        type = "integer"
        [parameters.person]
        [step.import]
        type = "import_files"
        folder = "{folder}"
        tags = ["notes"]
        [step.tell]
        type = "email"
        host = "127.0.0.1"
        port = "{port}"
        security = "none"
        sender = "Stepglass <jobs@example.org>"
        to = ["{person}"]
        bcc = ["quiet@example.org"]
        subject = "Notes of {person}: \u00fcbersicht"
        body = "All is well.\\n.\\nReally."
        filter_tags = ["notes"]
        """,
        folder=str(notes),
        port=server.port,
        person="A. Person <a@example.org>",
    )
    assert ended.completed, [item.job.error for item in ended.items]
    mail = server.mail
    assert (mail["From"], mail["To"]) == ("Stepglass <jobs@example.org>", '"A. Person" <a@example.org>')
    assert mail["Subject"] == "Notes of A. Person <a@example.org>: übersicht"
    assert "Bcc" not in mail and server.recipients == ["a@example.org", "quiet@example.org"]
    body = mail.get_body()
    assert body and body.get_content().splitlines() == ["All is well.", ".", "Really."]
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content().strip()) == ("01-größe.md", "# Größe")


async def test_the_login_goes_over_starttls(
    stage: MakeStage, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", OPENS)
    login = {"username": "jobs", "password_variable": "MAIL_PASSWORD", "ca_file": f"{certificate}.crt"}
    with MailServer(certificate=certificate, password=OPENS).serving() as server:
        _, context = await sent(stage, server, security="starttls", **login)
    assert server.encrypted == [True]
    words = [command.split(" ")[0].upper() for command in server.commands]
    assert words.index("STARTTLS") < words.index("AUTH") < words.index("MAIL")
    assert all(OPENS not in message for _, message in context.lines)


async def test_tls_from_the_start(stage: MakeStage, certificate: Path) -> None:
    with MailServer(certificate=certificate, tls=True).serving() as server:
        await sent(stage, server, security="tls", ca_file=f"{certificate}.crt")
    assert server.encrypted == [True]


async def test_a_server_that_cannot_be_trusted_gets_nothing(stage: MakeStage, certificate: Path) -> None:
    with MailServer(certificate=certificate).serving() as server:
        told = await failure(stage, server, PermanentError, security="starttls")
    assert "cannot be trusted: self-signed certificate; see ca_file" in told
    assert server.mails == []


async def test_without_starttls_nothing_is_sent(stage: MakeStage, server: MailServer) -> None:
    assert "STARTTLS" in await failure(stage, server, PermanentError, security="starttls")
    assert server.mails == []


async def test_a_wrong_password_is_not_tried_again(stage: MakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "guessed")
    login = {"username": "jobs", "password_variable": "MAIL_PASSWORD"}
    with MailServer(password=OPENS).serving() as server:
        told = await failure(stage, server, PermanentError, **login)
        assert told == "the login was refused: 127.0.0.1 answers 535 5.7.8 wrong password"
        monkeypatch.delenv("MAIL_PASSWORD")
        assert "MAIL_PASSWORD is not set" in await failure(stage, server, PermanentError, **login)


@pytest.mark.parametrize(
    ("answers", "kind", "says"),
    [
        ({"RCPT": "550 no such\x1b[31m person"}, PermanentError, "sent to 0 of 1; refused: a@example.org"),
        ({"RCPT": "451 later"}, ConnectionError, "a@example.org is not accepted now: 451 later"),
        ({"MAIL FROM": "553 not you"}, PermanentError, "the sender was refused: 127.0.0.1 answers 553 not you"),
        ({"MAIL FROM": "421 busy"}, ConnectionError, "the sender was refused: 127.0.0.1 answers 421 busy"),
        ({"MAIL CONTENT": "552 too large"}, PermanentError, "the mail was refused: 127.0.0.1 answers 552 too large"),
        ({"MAIL CONTENT": "452 disk full"}, ConnectionError, "answers 452 disk full"),
        ({"CONNECT": "554 go away"}, PermanentError, "the server takes nothing: 127.0.0.1 answers 554 go away"),
    ],
)
async def test_a_refusal_for_good_is_told_from_one_for_now(
    stage: MakeStage, server: MailServer, answers: dict[str, str], kind: type[Exception], says: str
) -> None:
    server.answers = answers
    assert says in await failure(stage, server, kind)
    assert server.mails == []


async def test_some_refused_is_a_failure_that_is_not_tried_again(stage: MakeStage, server: MailServer) -> None:
    server.answers = {"RCPT TO:<B@": "550 no such person"}
    told = await failure(stage, server, PermanentError, to=["a@example.org", "b@example.org"])
    assert told == "sent to 1 of 2; refused: b@example.org"
    assert len(server.mails) == 1


async def test_a_server_that_is_not_there_may_come_back(runs: Runs) -> None:
    ended = await runs.run(
        """
        [step.tell]
        type = "email"
        host = "127.0.0.1"
        port = 1
        security = "none"
        sender = "jobs@example.org"
        to = ["a@example.org"]
        subject = "Done"
        """
    )
    assert ended.run.status == Status.FAILED
    assert ended.error and ended.error.startswith("ConnectionError: 127.0.0.1, port 1, cannot be reached")


async def test_the_same_mail_is_known_by_its_id(stage: MakeStage, server: MailServer) -> None:
    first, _ = await sent(stage, server)
    again, _ = await sent(stage, server)
    other, _ = await sent(stage, server, subject="Other")
    assert first["message_id"] == again["message_id"] != other["message_id"]


async def test_an_address_beyond_ascii(stage: MakeStage, server: MailServer) -> None:
    await sent(stage, server, to=["müller@exämple.org"])
    assert "SMTPUTF8" in next(command for command in server.commands if command.startswith("mail FROM"))
    server.utf_8 = False
    told = await failure(stage, server, PermanentError, to=["müller@exämple.org"])
    assert "an address has letters beyond ASCII" in told


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"subject": "Hi\r\nBcc: all@example.org"}, "could forge a header"),
        ({"to": ["a@example.org\nBcc: all@example.org"]}, "could forge a header"),
        ({"sender": "x\r\n <a@example.org>"}, "could forge a header"),
        ({"to": ["a@example.org, b@example.org"]}, "is not an address"),
        ({"to": ["a@example.org> <b@example.org"]}, "is not an address"),
        ({"to": ["nobody"]}, "is not an address; write person@example.org"),
        ({"to": []}, "at least 1 item"),
        ({"sender": ""}, "sender must be an address"),
        ({"host": "mail.example.org:25"}, "the port is a setting of its own"),
        ({"security": "ssl"}, "'starttls', 'tls' or 'none'"),
        ({"username": "jobs"}, "go together"),
        ({"username": "jobs", "password_variable": "h0rse!"}, "not the password itself"),
        (
            {"username": "jobs", "password_variable": "P", "security": "none"},
            "a password is not sent over an open connection",
        ),
    ],
)
def test_wrong_settings_are_refused(settings: Any, says: str) -> None:
    right = {"host": "mail.example.org", "sender": "jobs@example.org", "to": ["a@example.org"], "subject": "Done"}
    with pytest.raises(ValueError, match=says):
        EmailSettings.model_validate({**right, **settings})
