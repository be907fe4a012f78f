"""What a terminal would colour is coloured; everything else is text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.painting.terminal_text import plain, spans


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no colour", [("no colour", "")]),
        ("\x1b[31mred", [("red", "ink ink-1")]),
        ("\x1b[91;102mbright", [("bright", "ink ink-9 paper paper-10")]),
        ("\x1b[38;5;208mone\x1b[48;5;17mtwo", [("one", "ink ink-208"), ("two", "ink ink-208 paper paper-17")]),
        ("\x1b[38;2;255;0;0mtrue", [("true", "ink ink-196")]),
        ("\x1b[1;4mboth\x1b[22mone\x1b[mnone", [("both", "bold underlined"), ("one", "underlined"), ("none", "")]),
        ("\x1b[31mred\x1b[39mplain", [("red", "ink ink-1"), ("plain", "")]),
        ("\x1b[38;5mcut short", [("cut short", "ink ink-0")]),
        ("\x1b[98;99;108mno such colour", [("no such colour", "")]),
        ("\x1b[2J\x1b]0;title\x07", [("\x1b[2J\x1b]0;title\x07", "")]),
    ],
)
def test_colours_and_faces(message: str, shown: list[tuple[str, str]]) -> None:
    assert [(span.text, span.classes) for span in spans(message, 1000)] == shown


def test_what_was_searched_for_is_marked_across_colours() -> None:
    found = [(span.text, span.classes) for span in spans("a ne\x1b[31medle", 1000, "NEEDLE") if span.found]
    assert found == [("ne", ""), ("edle", "ink ink-1")]


def test_a_long_message_is_cut_by_what_is_seen_of_it() -> None:
    assert [span.text for span in spans("\x1b[31mabc\x1b[0mdef", 4)] == ["abc", "d"]


@given(st.text("\x1b[;:0123456789mKx", max_size=40), st.sampled_from([None, "x", "1"]))
def test_no_text_is_lost_and_no_class_is_made_of_it(message: str, wanted: str | None) -> None:
    made = spans(message, 1000, wanted)
    assert "".join(span.text for span in made) == plain(message)
    for span in made:
        assert all(part.replace("-", "").isalnum() for part in span.classes.split())
