"""What people did: to a run, on its page; to definitions and the queue, on theirs and that of the system."""

from __future__ import annotations

from collections.abc import Sequence

from app.queue.records import ActionRecord
from app.web import dom
from app.web.pieces import Painter, Piece


def paint_actions(painter: Painter, manager_id: int, actions: Sequence[ActionRecord]) -> Piece:
    """The newest first. Without any, a place that is hidden."""
    entries = [painter.once(_paint_action, action) for action in actions]
    children = {"entries": painter.list("action_list.html", dom.job(manager_id, "action-list"), entries)}
    return painter.piece("run_actions.html", dom.job(manager_id, "actions"), children, number=len(entries))


def paint_people(painter: Painter, actions: Sequence[ActionRecord], on_card: bool = False) -> Piece:
    """As `paint_actions`, of what is no run."""
    return painter.piece("people_actions.html", "people", actions=actions, on_card=on_card)


def _paint_action(painter: Painter, action: ActionRecord) -> Piece:
    return painter.piece("action.html", f"action-{action.id}", action=action)
