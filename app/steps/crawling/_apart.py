"""The process that reads large pages: `python -m app.steps.crawling._apart`.

It is asked and answers in frames of eight bytes that say how many bytes of JSON follow: `[text, url, robots]`, and the
fields of a `Page`. It ends when its stdin is closed.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import astuple

from app.steps.crawling.pages import read_page

LENGTH = 8
MOST_MEMORY = 2 << 30


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    received, sent = sys.stdin.buffer, sys.stdout.buffer
    while len(head := received.read(LENGTH)) == LENGTH:
        answer = json.dumps(astuple(read_page(*json.loads(received.read(int.from_bytes(head)))))).encode()
        sent.write(len(answer).to_bytes(LENGTH) + answer)
        sent.flush()


if __name__ == "__main__":
    _main()
