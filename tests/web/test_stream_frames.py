"""Messages as bytes, and what is replayed to those who come back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.web.live.frames import MAX_KEPT_FRAMES, Ring, frame


def read_event_stream(text: str) -> list[tuple[str | None, str]]:
    """A reader by the letter of the HTML standard: (id, data) of each event."""
    events, data, event_id = [], [], None
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line == "":
            if data:
                events.append((event_id, "\n".join(data)))
            data = []
        elif line.startswith("data: "):
            data.append(line.removeprefix("data: "))
        elif line.startswith("id: "):
            event_id = line.removeprefix("id: ")
    return events


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_out_of_its_message(text: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read_event_stream(frame(text, "e-1").decode()) == [("e-1", expected)]


@pytest.mark.parametrize("text", ["a\nid: 9", "a\r\n\r\ndata: b", "a\rb", "a\u2028b\x85c\x0bd"])
def test_line_ends_of_every_kind_stay_inside(text: str) -> None:
    assert len(read_event_stream(frame(text, "e-1").decode())) == 1


def test_who_comes_back_gets_what_it_missed() -> None:
    ring = Ring("epoch")
    first, second, third = (ring.add(text) for text in ("one", "two", "three"))
    assert ring.after("epoch-0") == [first, second, third]
    assert ring.after("epoch-2") == [third]
    assert ring.after("epoch-3") == []


@pytest.mark.parametrize(
    "event_id", [None, "", "epoch", "epoch-", "other-1", "epoch-x", "epoch-4", "epoch--1", "epoch-٣", "epoch-1e0"]
)
def test_an_id_of_another_epoch_or_none_at_all_cannot_be_resumed(event_id: str | None) -> None:
    ring = Ring("epoch")
    for text in ("one", "two", "three"):
        ring.add(text)
    assert ring.after(event_id) is None


def test_who_was_away_too_long_cannot_be_resumed() -> None:
    ring = Ring("epoch")
    for number in range(MAX_KEPT_FRAMES + 10):
        ring.add(str(number))
    assert ring.after("epoch-9") is None
    assert len(ring.after("epoch-10") or ()) == MAX_KEPT_FRAMES


def test_large_messages_are_kept_only_up_to_a_size() -> None:
    ring = Ring("epoch")
    for _ in range(5):
        ring.add("x" * 400_000)
    assert ring.after("epoch-2") is None
    assert len(ring.after("epoch-3") or ()) == 2
