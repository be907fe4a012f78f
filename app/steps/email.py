"""email: sends a mail, with documents attached if wanted."""

from __future__ import annotations

import hashlib
import os
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, localtime
from ipaddress import ip_address
from itertools import islice
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from app.steps.source_tree import printable
from app.work.step_type import Context, PermanentError, Settings, StepType, StoredDocument, WorkItem

PORTS = {"starttls": 587, "tls": 465, "none": 25}
PATIENCE = 30.0
"""Seconds that the server may take for each answer."""
MOST_ATTACHED = 20 << 20
"""Bytes of all attached documents."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class EmailSettings(Settings):
    host: str
    """The mail server."""
    sender: str
    """The address it comes from, such as "Stepglass <jobs@example.org>"."""
    to: list[str] = Field(min_length=1, max_length=100)
    """The addresses it goes to."""
    cc: list[str] = Field(default_factory=list, max_length=100)
    """Those that get a copy."""
    bcc: list[str] = Field(default_factory=list, max_length=100)
    """Those that get a copy without the others knowing."""
    reply_to: str = ""
    """Where answers go, if not to the sender."""
    subject: str = Field(min_length=1, max_length=500)
    body: str = Field("", max_length=1 << 20)
    """Plain text."""
    filter_tags: list[str] = Field(default_factory=list)
    """Documents that carry all of these are attached as Markdown files; none are without tags."""
    filter_limit: int = Field(20, ge=1, le=200)
    """How many at the most."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is kept private: by STARTTLS, by TLS from the start, or not at all."""
    port: int = Field(0, ge=0, le=65535)
    """0: 587 for starttls, 465 for tls, 25 for none."""
    username: str = ""
    """Who logs in; nobody without one."""
    password_variable: str = ""
    """The variable of the server's environment that holds the password."""
    ca_file: str = ""
    """A PEM file with certificates to trust, for a mail server of one's own; otherwise the system's are trusted."""

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*|[0-9A-Fa-f:.]+", host):
            raise ValueError(f"{host!r} is not the name of a host; the port is a setting of its own")
        return host

    @field_validator("sender", "reply_to")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        if text:
            _address(text)
        return text

    @field_validator("to", "cc", "bcc")
    @classmethod
    def _are_addresses(cls, texts: list[str]) -> list[str]:
        for text in texts:
            _address(text)
        return texts

    @field_validator("subject", "username")
    @classmethod
    def _is_one_line(cls, text: str) -> str:
        if _breaks(text):
            raise ValueError(f"{text!r} has a line break or control character, which could forge a header")
        return text

    @model_validator(mode="after")
    def _can_log_in(self) -> EmailSettings:
        if not self.sender:
            raise ValueError("sender must be an address such as jobs@example.org")
        if bool(self.username) != bool(self.password_variable):
            raise ValueError("username and password_variable go together; give both or neither")
        if self.password_variable and not _VARIABLE.fullmatch(self.password_variable):
            raise ValueError("password_variable is the name of a variable of the environment, not the password itself")
        if self.username and self.security == "none" and not _is_loopback(self.host):
            raise ValueError('a password is not sent over an open connection; set security to "starttls" or "tls"')
        return self


class Email(StepType[EmailSettings]):
    """One work item: the mail. Sent again after a crash it has the same Message-ID, by which mail programs know it."""

    name = "email"
    summary = "Sends a mail, with documents attached if wanted."
    settings_type = EmailSettings
    page_may_use = False
    timeout = 300.0

    def plan(self, context: Context[EmailSettings]) -> Iterator[WorkItem]:
        to = context.settings.to
        more = f" and {len(to) - 1} more" if len(to) > 1 else ""
        yield WorkItem(printable(f"mail to {to[0]}{more}"))

    def run(self, context: Context[EmailSettings], item: WorkItem) -> dict[str, Any]:
        """Who it was accepted for, its Message-ID, and how many documents were attached. Raises PermanentError when
        the server refuses it for good; otherwise another time may do."""
        settings = context.settings
        message, attached = _message(context)
        everybody = [_address(text).addr_spec for text in (*settings.to, *settings.cc, *settings.bcc)]
        host, port = settings.host, settings.port or PORTS[settings.security]
        context.log(f"connecting to {host}, port {port}, {_spelt(settings.security)}")
        refused = _send(settings, port, message, everybody)
        for address, (code, reply) in refused.items():
            context.log(f"{printable(address)} was refused: {code} {_reply(reply)}", "error")
        accepted = [address for address in everybody if address not in refused]
        if refused:  # a second mail to the others would be worse
            raise PermanentError(f"sent to {len(accepted)} of {len(everybody)}; refused: {', '.join(refused)}")
        context.log(f"accepted for {', '.join(map(printable, accepted))}")
        return {"accepted": accepted, "message_id": str(message["Message-ID"]), "attached": attached}


def _message(context: Context[EmailSettings]) -> tuple[EmailMessage, int]:
    """The mail, and how many documents are attached."""
    settings = context.settings
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(settings.sender)
    message["To"] = [_address(text) for text in settings.to]
    if settings.cc:
        message["Cc"] = [_address(text) for text in settings.cc]
    if settings.reply_to:
        message["Reply-To"] = _address(settings.reply_to)
    message["Subject"] = settings.subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = _message_id(context)
    message["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is answered
    message.set_content(settings.body)
    documents = _attached(context)
    for number, document in enumerate(documents, start=1):
        message.add_attachment(document.body, subtype="markdown", filename=_file_name(number, document.title))
    return message, len(documents)


def _file_name(number: int, title: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", title.removesuffix(".md")).strip("-.")
    return f"{number:02}-{name[:80] or 'document'}.md"


def _attached(context: Context[EmailSettings]) -> list[StoredDocument]:
    settings = context.settings
    if not settings.filter_tags:
        return []
    found: list[StoredDocument] = []
    size = 0
    for document in islice(context.documents(tags=settings.filter_tags), settings.filter_limit):
        size += len(document.body.encode("utf-8", "replace"))
        if size > MOST_ATTACHED:
            raise PermanentError(f"the documents have more than {MOST_ATTACHED:,} bytes; set filter_limit lower")
        found.append(document)
    context.log(f"{len(found)} documents attached")
    return found


def _message_id(context: Context[EmailSettings]) -> str:
    """The same for every attempt at this mail, and for no other mail."""
    settings = context.settings
    what = repr((context.manager_id, context.step_id, settings.to, settings.subject, settings.body))
    digest = hashlib.sha256(what.encode("utf-8", "replace")).hexdigest()[:32]
    return f"<{digest}.{context.step_id}@{_address(settings.sender).domain.encode('idna').decode()}>"


def _send(
    settings: EmailSettings, port: int, message: EmailMessage, everybody: list[str]
) -> dict[str, tuple[int, bytes]]:
    """Hands the mail to the server; returns who was refused, with the code and the words. Raises PermanentError."""
    password = _password(settings)
    try:
        with _connected(settings, port) as server:
            if settings.username:
                server.login(settings.username, password)
            return _delivered(server, settings, message, everybody)
    except smtplib.SMTPRecipientsRefused as error:
        return _all_refused(error)
    except smtplib.SMTPResponseException as error:
        told = f"{settings.host} answers {error.smtp_code} {_reply(error.smtp_error)}"
        if 500 <= error.smtp_code < 600:
            raise PermanentError(f"{_stage(error)}: {told}") from None
        raise ConnectionError(f"{_stage(error)}: {told}") from None
    except smtplib.SMTPNotSupportedError as error:
        raise PermanentError(f"{settings.host} cannot do what is needed: {error}") from None
    except smtplib.SMTPException as error:
        raise ConnectionError(f"{settings.host}: {_reply(str(error))}") from None
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"{settings.host} cannot be trusted: {error.verify_message}; see ca_file") from None
    except (TimeoutError, socket.gaierror, ssl.SSLError, ConnectionError) as error:
        raise ConnectionError(f"{settings.host}, port {port}, cannot be reached: {error}") from None


def _connected(settings: EmailSettings, port: int) -> smtplib.SMTP:
    if settings.security == "tls":
        return smtplib.SMTP_SSL(settings.host, port, timeout=PATIENCE, context=_trust(settings))
    server = smtplib.SMTP(settings.host, port, timeout=PATIENCE)
    try:
        if settings.security == "starttls":
            server.starttls(context=_trust(settings))  # never goes on without it
        return server
    except BaseException:
        server.close()
        raise


def _delivered(
    server: smtplib.SMTP, settings: EmailSettings, message: EmailMessage, everybody: list[str]
) -> dict[str, tuple[int, bytes]]:
    sender = _address(settings.sender).addr_spec
    if all(text.isascii() for text in (sender, *everybody)):
        return server.sendmail(sender, everybody, message.as_bytes())
    server.ehlo_or_helo_if_needed()
    if not server.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError("an address has letters beyond ASCII (SMTPUTF8)")
    content = message.as_bytes(policy=SMTPUTF8)
    return server.sendmail(sender, everybody, content, mail_options=["SMTPUTF8", "BODY=8BITMIME"])


def _all_refused(error: smtplib.SMTPRecipientsRefused) -> dict[str, tuple[int, bytes]]:
    """Raises ConnectionError when all may be accepted another time."""
    codes = [code for code, _ in error.recipients.values()]
    if all(400 <= code < 500 for code in codes):
        address, (code, reply) = next(iter(error.recipients.items()))
        raise ConnectionError(f"{printable(address)} is not accepted now: {code} {_reply(reply)}")
    return dict(error.recipients)


def _trust(settings: EmailSettings) -> ssl.SSLContext:
    try:
        trust = ssl.create_default_context()
        if settings.ca_file:
            trust.load_verify_locations(settings.ca_file)
    except OSError as error:
        raise PermanentError(f"ca_file {settings.ca_file!r} cannot be used: {error.strerror or error}") from None
    return trust


def _password(settings: EmailSettings) -> str:
    if not settings.password_variable:
        return ""
    password = os.environ.get(settings.password_variable)
    if not password:
        raise PermanentError(f"{settings.password_variable} is not set in the environment of this server")
    return password


def _address(text: str) -> Address:
    """Raises ValueError for what is not one address, or could forge a header."""
    if _breaks(text):
        raise ValueError(f"{text!r} has a line break or control character, which could forge a header")
    named = re.fullmatch(r"\s*(?P<name>[^<>]*?)\s*<(?P<address>[^<>\s]+)>\s*", text)
    address = named["address"] if named else text.strip()
    if not re.fullmatch(r"[^@\s<>,;:\"\\()\[\]]+@[^@\s<>,;:\"\\()\[\]]+", address):
        raise ValueError(f"{text!r} is not an address; write person@example.org or A. Person <person@example.org>")
    try:
        return Address(display_name=named["name"].strip('"') if named else "", addr_spec=address)
    except (MessageError, ValueError, IndexError):
        pass
    with suppress(MessageError, ValueError, IndexError):
        # Letters beyond ASCII are for the header's policy; the class itself takes them only apart.
        user, _, domain = address.rpartition("@")
        return Address(display_name=named["name"].strip('"') if named else "", username=user, domain=domain)
    raise ValueError(f"{text!r} is not an address; write person@example.org or A. Person <person@example.org>")


def _breaks(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 or char in "\x85\u2028\u2029" for char in text)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _stage(error: smtplib.SMTPResponseException) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return "the login was refused"
        case smtplib.SMTPSenderRefused():
            return "the sender was refused"
        case smtplib.SMTPConnectError():
            return "the server takes nothing"
    return "the mail was refused"


def _spelt(security: str) -> str:
    return {"starttls": "with STARTTLS", "tls": "with TLS", "none": "without encryption"}[security]


def _reply(reply: bytes | str) -> str:
    """What the server said, in one line that ends."""
    text = reply.decode("utf-8", "backslashreplace") if isinstance(reply, bytes) else reply
    return printable(" ".join(text.split())[:300])
