"""A mail server on loopback: it keeps what it is sent, and refuses what it is told to."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any


@dataclass
class MailServer:
    """What it has heard, and how it answers. `answers`: by the beginning of a command, what is said to it."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    certificate: Path | None = None
    """With one, STARTTLS is offered; or TLS from the start, with `tls`."""
    tls: bool = False
    password: str = ""
    utf_8: bool = True
    commands: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    """Of each mail, whether it came over TLS."""

    @property
    def mail(self) -> EmailMessage:
        """The only mail."""
        (content,) = self.mails
        message = message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def recipients(self) -> list[str]:
        return [command[9:].split(">")[0] for command in self.commands if command.upper().startswith("RCPT TO:<")]

    @contextmanager
    def serving(self) -> Iterator[MailServer]:
        def handler(*arguments: Any) -> _Session:
            return _Session(self, *arguments)

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:  # type: ignore[arg-type]
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Session(socketserver.BaseRequestHandler):
    def __init__(self, server: MailServer, *arguments: Any) -> None:
        self._server = server
        super().__init__(*arguments)

    def handle(self) -> None:
        # Errors are those of a client that does not trust us, or has gone.
        with suppress(OSError), ExitStack() as self._open:
            if self._server.tls:
                self._encrypt()
            self._converse()

    def _converse(self) -> None:
        self._lines = self.request.makefile("rb")
        self._secure = self._server.tls
        self._say(self._server.answers.get("CONNECT", "220 mail.test"))
        while line := self._lines.readline():
            command = line.decode().rstrip("\r\n")
            self._server.commands.append(command)
            if not self._answer(command):
                break
        self._lines.close()

    def _answer(self, command: str) -> bool:
        """Whether the conversation goes on."""
        for beginning, answer in self._server.answers.items():
            if command.upper().startswith(beginning):
                self._say(answer)
                return True
        match command.upper().split(" ")[0]:
            case "EHLO":
                self._say(*self._extensions())
            case "STARTTLS":
                self._say("220 go ahead")
                self._lines.close()
                self._encrypt()
                self._lines = self.request.makefile("rb")
                self._secure = True
            case "AUTH":
                given = base64.b64decode(command.split(" ")[2]).split(b"\0")
                right = given[1:] == [b"jobs", self._server.password.encode()]
                self._say("235 welcome" if right else "535 5.7.8 wrong password")
            case "DATA":
                self._say("354 go ahead")
                self._take()
            case "QUIT":
                self._say("221 bye")
                return False
            case _:
                self._say("250 fine")
        return True

    def _extensions(self) -> list[str]:
        offered = ["250-mail.test", "250-8BITMIME"]
        if self._server.certificate and not self._secure:
            offered.append("250-STARTTLS")
        if self._server.password:
            offered.append("250-AUTH PLAIN")
        if self._server.utf_8:
            offered.append("250-SMTPUTF8")
        return [*offered, "250 HELP"]

    def _take(self) -> None:
        content = b""
        while (line := self._lines.readline()) != b".\r\n":
            content += line.removeprefix(b".") if line.startswith(b"..") else line
        if refusal := self._server.answers.get("MAIL CONTENT"):
            self._say(refusal)
            return
        self._server.mails.append(content)
        self._server.encrypted.append(self._secure)
        self._say("250 kept")

    def _encrypt(self) -> None:
        assert self._server.certificate
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._server.certificate)
        self.request = self._open.enter_context(tls.wrap_socket(self.request, server_side=True))

    def _say(self, *lines: str) -> None:
        self.request.sendall("".join(f"{line}\r\n" for line in lines).encode())
