"""Strings that want to be more than text: each with a name that says what it tries. And runs that are full of them.

Whoever executes one of them sets `window.__broken` or asks EVIL for something.
"""

from __future__ import annotations

from typing import NamedTuple

from app.queue.documents import Document
from app.queue.run_plan import OnError, RunPlan, StepPlan
from app.queue.store.claim import claim
from app.queue.store.documents import Saving, save_documents
from app.queue.store.finish import Ending, finish
from app.queue.store.logging import Line, log
from app.queue.store.plan import NewItem, claim_plans, end_planning, fail_planning, plan
from app.queue.store.start import start
from app.queue.text import storable
from app.queue.writer import Writer

EVIL = "http://evil.invalid"
BREAK = "window.__broken=1"
ESC = "\x1b"
ENDLESS_LENGTH = 1_000_000
NOON = 1_800_000_000.0


class Hostile(NamedTuple):
    """`shapes_logs`: a log may make something of it: a fold, the colours of a terminal, the way to what is cut off."""

    name: str
    text: str
    shapes_logs: bool = False

    @property
    def stored(self) -> str:
        """What is left of it where every database can hold it."""
        return storable(self.text)

    @property
    def step_name(self) -> str:
        return step_name(self.stored)


_MARKUP = {
    "script": f"<script>{BREAK}</script>",
    "script from elsewhere": f"<script src='{EVIL}/x.js'></script>",
    "script in capitals with a newline": f"<SCRIPT\n>{BREAK}</SCRIPT\n>",
    "script cut off": f"<script>{BREAK}//",
    "end of a script": f"</script><script>{BREAK}</script>",
    "image with an error handler": f"<img src=x onerror={BREAK}>",
    "image from elsewhere": f"<img src='{EVIL}/p.png'>",
    "svg with a load handler": f"<svg onload={BREAK}><animate onbegin={BREAK} attributeName=x dur=1s>",
    "svg with a script": f"<svg><script href='data:text/javascript,{BREAK}'></script></svg>",
    "math": f"<math><mtext></form><form><mglyph><style></math><img src onerror={BREAK}>",
    "frame": f"<iframe srcdoc='<script>parent.{BREAK}</script>'></iframe>",
    "object and embed": f"<object data='{EVIL}'></object><embed src='{EVIL}'>",
    "style element": f"<style>*{{display:none}}@import '{EVIL}';</style>",
    "link to a style sheet": f"<link rel=stylesheet href='{EVIL}/x.css'>",
    "base": f"<base href='{EVIL}/'>",
    "refresh": f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    "policy": '<meta http-equiv="Content-Security-Policy" content="default-src *">',
    "template": f"<template><img src=x onerror={BREAK}></template>",
    "declarative shadow root": "<div><template shadowrootmode=open>gone</template></div>",
    "noscript": f'<noscript><p title="</noscript><img src=x onerror={BREAK}>">',
    "form elsewhere": f"<form action='{EVIL}'><input name=q autofocus onfocus={BREAK}><button>Filter",
    "end of the form": "</form></details></main></body></html>",
    "end of the title": f"</title></head><body onload={BREAK}>",
    "end of a text area": f"</textarea></select></option><img src=x onerror={BREAK}>",
    "plaintext": "<plaintext><xmp><listing>",
    "table parts": "<table><tr><td></table></td></tr></table><p>",
    "comment": "<!-- all that follows is gone",
    "odd comments": "--!><!--><!---><!-->--><? xml ?><![if]>",
    "cdata": f"<![CDATA[<script>{BREAK}</script>]]>",
    "doctype": "<!doctype html><html><frameset>",
    "entities": "&lt;b&gt; &amp;amp; &#60;script&#62; &#x3c;script&#x3e; &nbsp; &notanentity; &#0; &#xD800;",
    "entity without an end": "&lt script &#x3Cscript>",
    "encoded twice": "&amp;lt;script&amp;gt;%253Cscript%253E%3Cscript%3E",
    "overlong and other encodings": "+ADw-script+AD4- \xc0\xbcscript\xc0\xbe \uff1cscript\uff1e",
    "dialog": "<dialog open>Session expired</dialog><a autofocus popovertarget=x>",
}

_ATTRIBUTES = {
    "end of a quoted attribute": f'"><img src=x onerror={BREAK}>',
    "end of a single-quoted attribute": f"'><img src=x onerror={BREAK}>",
    "handler in quotes": f'" onmouseover="{BREAK}" autofocus onfocus="{BREAK}',
    "handler in single quotes": f"' onmouseover='{BREAK}' autofocus onfocus='{BREAK}",
    "handler in backticks": f"` onmouseover=`{BREAK}` x=`",
    "handler without quotes": f"x onmouseover={BREAK} tabindex=0",
    "slashes for spaces": f"x/onmouseover={BREAK}//",
    "style attribute": '" style="position:fixed;inset:0;background:red',
    "class and id": '" class="unseen" id="view" hidden="',
    "curly quotes": "\u201c\u2018\u00ab' onclick=\u201dx\u201c",
    "script url": f"javascript:{BREAK}//",
    "script url with odd spaces": f" \tjava\nscript\t:{BREAK}",
    "data url": f"data:text/html;base64,PHNjcmlwdD5{BREAK}",
    "url without a scheme": "//evil.invalid/x",
    "selectors": "#view, body > *:not(.x)[data-id='1'] /**/ \\",
}

_TEMPLATES = {
    "jinja expression": "{{ 7 * 7 }}{{ config }}{{ ''.__class__.__mro__ }}",
    "jinja statement": "{% raw %}{% include 'layout.html' %}{% endraw %}{# gone #}",
    "jinja end of a block": "{% endblock %}{% block content %}{% endfor %}",
    "other templates": "${7*7} #{7*7} <%= 7*7 %> [[7*7]] {{=7*7}} @(7*7)",
    "format string": "{0.__class__} {} %s %(x)s %n %d {name!r}",
}

_HTMX = {
    "request on load": '<a hx-get="/queue" hx-trigger="load" hx-target="body">x</a>',
    "request on load with data attributes": '<a data-hx-post="/jobs/1/cancellation" data-hx-trigger="load">x</a>',
    "attribute for the element itself": '" hx-get="/queue" hx-trigger="load" hx-target="body" x="',
    "handler of htmx": f'<b hx-on:click="{BREAK}" hx-on::load="{BREAK}" hx-on="load: {BREAK}">x</b>',
    "values of htmx": f"<b hx-vals='js:{{x: {BREAK}}}' hx-get=/queue hx-trigger='load[{BREAK}]'>x</b>",
    "end of a partial": '</hx-partial><hx-partial hx-target="body" hx-swap="innerHTML">gone</hx-partial>',
    "a partial": '<hx-partial hx-target="#view" hx-swap="delete"></hx-partial>',
    "another stream": f'<div hx-sse:connect="{EVIL}/stream" hx-swap="none"></div>',
    "out of band": "<div id=view hx-swap-oob=true>gone</div><template hx type=partial hx-target=body></template>",
    "boost and inherit": '<div hx-boost="true" hx-ext="sse" hx-config="x" hx-inherit="*" hx-preserve>x</div>',
    "class of a swap": '" class="htmx-swapping htmx-request',
    "configuration": '<meta name="htmx-config" content=\'{"allowEval":true}\'>',
}

_STREAMS = {
    "another event": "x\n\nevent: y\ndata: <b>z</b>\n\n",
    "a field": "\ndata: x\n\nevent: y",
    "id and retry": "x\nid: 9\nretry: 1\n\ndata: y",
    "lone carriage returns": "x\r\rdata: y\rid: 9\r\r",
    "carriage return and newline": "x\r\n\r\ndata: y\r\n\r\n: comment\r\n",
    "newlines in the wrong order": "x\n\r\n\rdata: y",
    "line separators": "x\u2028data: y\u2029event: z\u0085id: 9\x0bretry: 1\x0c",
    "a comment": ":keep-alive\n: ping\n\n",
    "only newlines": "\n\n\n",
    "header": "x\r\nSet-Cookie: a=b\r\n\r\n<b>body</b>",
    "file name": '"; filename="evil.html"\r\nContent-Type: text/html',
}

_CHARACTERS = {
    "null": "a\0b\0",
    "only null": "\0",
    "control characters": "".join(map(chr, range(1, 32))).replace(ESC, ""),
    "delete and second control characters": "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "bell and backspace": "secret\x08\x08\x08\x08\x08\x08public\x07",
    "right-to-left override": "\u202egnp.exe\u202c end",
    "embeddings and isolates without an end": "\u202a\u202b\u202d\u2066\u2067\u2068 12 > 3",
    "more ends than beginnings": "\u202c\u202c\u2069\u2069 x",
    "marks of direction": "a\u200eb\u200fc\u061cd",
    "letters from right to left": "\u05d0\u05d1\u05d2 123 (\u0627\u0628\u062a) 456:",
    "nothing to be seen": "a\u200bb\u2060c\u00add\u034fe\u180ef\u3164g\u115fh\ufeffi",
    "only nothing to be seen": "\u200b\u2060\ufeff\u3164",
    "byte order mark": "\ufeff<script>\ufffe",
    "tags that hide letters": "x" + "".join(chr(0xE0000 + ord(each)) for each in "hidden"),
    "lone surrogates": "a\ud800b\udfffc\udc80",
    "characters that are none": "a\ufdd0b\ufffec\uffffd\U0001fffee\U0010ffff",
    "private and unassigned characters": "\ue000\U000f0000\U0010fffd\u0378\ufffd",
    "heaps of combining marks": "Z" + "\u0300\u0301\u0316\u0317\u0334\u0489" * 12 + "algo",
    "begins with a combining mark": "\u0301\u20e3x",
    "emoji with joiners": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f3f3\ufe0f\u200d\U0001f308",
    "look-alikes": "\u0430dmin \u0406\u04cf l1I \u2010\u2011\u2212 \uff0f\u2044\u2215",
    "wide and tall": "\ufdfd\u2e3b\U000121b4\u0bf5",
    "case that changes length": "\u0130\u0131\u00df\ufb03\u1e9e\u01f0",
    "spaces of all kinds": " \t\u00a0\u1680\u2000\u2003\u202f\u205f\u3000 ",
}

_TERMINALS = {
    "colours that never end": (f"{ESC}[31;1;4;7mred", True),
    "odd colours": (f"{ESC}[38;5;999m{ESC}[38;2;1m{ESC}[;;;m{ESC}[{'9' * 400}m{ESC}[4:3mx", True),
    "clear the screen": (f"{ESC}[2J{ESC}[1;1Hgone", False),
    "window title": (f"{ESC}]0;title\x07 and {ESC}]2;title{ESC}\\", False),
    "terminal link": (f"{ESC}]8;;{EVIL}{ESC}\\link{ESC}]8;;{ESC}\\", False),
    "terminal clipboard": (f"{ESC}]52;c;cm0gLXJmIC8=\x07", False),
    "terminal reports": (f'{ESC}[6n{ESC}[c{ESC}P$q"p{ESC}\\{ESC}_Gi=1{ESC}\\', False),
    "sequence without an end": (f"text {ESC}[38;5", False),
    "string without an end": (f"text {ESC}]52;c;", False),
    "sequence in eight bits": ("\x9b31mred\x9d0;title\x9c", False),
    "markup in a sequence": (f'{ESC}[31;"><img src=x onerror={BREAK}>m', False),
    "group": (f"::group::<img src=x onerror={BREAK}>", True),
    "group without a name": ("::group::", True),
    "end of a group": ("::endgroup::<b>rest</b>", True),
    "other marks of logs": ("::error file=x::y\n::set-output name=a::b\n##[group]x", False),
    "markup of rich": ("[bold red]x[/] [link=http://evil.invalid]x[/link] [/nothing]", False),
}

_QUERIES = {
    "like wildcards": "%_\\%/_[a-z]^",
    "sql": "'; DROP TABLE manager_job; --",
    "sql union": '" OR 1=1 UNION SELECT name FROM sqlite_master --',
    "full-text operators": '"a" AND NOT b* NEAR/2 (c OR d) ^e -f col:g',
    "regular expression": "(a+)+$|.*[^\\w]{1000,}",
    "bind parameters": ":of_step %(of_step)s ?1 $1 @x",
    "path upwards": "../../../../etc/passwd%2e%2e%2f..\\..\\",
    "absolute path": "/etc/passwd",
    "address parts": "a?b=c&d=e#f;g=h/i",
    "percent signs": "%00%0d%0a%zz%%",
    "option": "--help -rf $(id) `id` | id; id",
    "number": "-0x7fffffffffffffff1e999NaN",
    "empty json": '{"__proto__": {"x": 1}, "constructor": null}',
}

_LENGTHS = {
    "a word without an end": "Donau" * 400,
    "many lines": "line\n" * 500,
    "many quotes": "\"'`&<>" * 300,
}

CORPUS: tuple[Hostile, ...] = (
    *(
        Hostile(name, text)
        for group in (_MARKUP, _ATTRIBUTES, _TEMPLATES, _HTMX, _STREAMS, _CHARACTERS, _QUERIES)
        for name, text in group.items()
    ),
    *(Hostile(name, text, shapes_logs=True) for name, text in _LENGTHS.items()),
    *(Hostile(name, text, shapes_logs) for name, (text, shapes_logs) in _TERMINALS.items()),
)

ENDLESS: tuple[Hostile, ...] = (
    Hostile("a line of letters", "x" * ENDLESS_LENGTH),
    Hostile("a line of quotes", '"' * ENDLESS_LENGTH),
    Hostile("a line of what has to be shown as a symbol", "\u202e" * ENDLESS_LENGTH),
    Hostile("a line of combining marks", "\u0301" * ENDLESS_LENGTH),
    Hostile("a line of colours", f"{ESC}[31mx{ESC}[32my" * (ENDLESS_LENGTH // 12), shapes_logs=True),
)
"""Texts of a million characters in one line."""


class Played(NamedTuple):
    """The ids of what `play` has made."""

    run: int
    step: int
    other_step: int
    completed: int
    failed: int
    tried: int


def step_name(text: str) -> str:
    """A step is a part of an address, so that its name has no slash and is short. Definitions allow far less."""
    return text.replace("/", "-")[:100]


async def start_run(write: Writer, text: str, name: str | None = None) -> int:
    """Starts a run with the text in everything that a definition and its parameters can bring in."""
    step = step_name(text)
    steps = (
        StepPlan(step, step, text, on_error=OnError.RETRY, settings={"x": text}),
        StepPlan(f"{step} 2", step, text, on_error=OnError.CONTINUE),
        StepPlan(f"{step} 3", step, text, depends=(step, f"{step} 2")),
    )
    return await write(
        start, RunPlan(text, name or text, steps, (text,), {text: text, "two": [2]}, concurrency=9, text=text)
    )


async def play(write: Writer, text: str, run: int) -> Played:
    """Works on that run: the text is in all that a step type can say and make, and in how its work ends. It goes on."""
    plans = {each.step.step_id: each for each in await write(claim_plans, 100) if each.step.manager_id == run}
    (step, planned), (other, failing) = sorted(plans.items())
    items = [NewItem(text, {text: text}), NewItem(f"{text} 2", text), NewItem(f"{text} 3", [text])]
    await write(plan, step, planned.attempt, items)
    await write(end_planning, step, planned.attempt)
    await write(fail_planning, other, failing.attempt, text)
    completed, failed, tried = (await write(claim, {step: 3})).items
    said = [Line(step, completed.id, NOON, level, text) for level in ("debug", "info", "warn", "error")]
    await write(log, [*said, Line(step, None, NOON, "info", text)])
    await write(save_documents, step, [Saving(Document(text, text, text, text, (text,), {text: text}), completed.id)])
    endings = [
        Ending(completed.id, completed.attempt, {text: [text]}),
        Ending(failed.id, failed.attempt, error=text, traceback=text, permanent=True),
        Ending(tried.id, tried.attempt, error=text, traceback=text),
    ]
    await write(finish, step, endings)
    return Played(run, step, other, completed.id, failed.id, tried.id)
