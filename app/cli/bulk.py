"""stepglass bulk: one action on all jobs of a list, after a preview that says how many, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from app.cli.control import JOB, Call, carried_out, carry_out, common_options, tell_json
from app.cli.terminal_text import plain
from app.queue.bulk_rules import BulkAction
from app.queue.models import Kind
from app.queue.status import Status

CHOSEN_BY = ("kind", "status", "manager_id", "step", "definition", "tag", "q", "open")


@click.command
@click.argument("action", type=click.Choice([each.value for each in BulkAction]))
@click.option("--kind", type=click.Choice([each.value for each in Kind]), help="Runs, steps or work items.")
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Only those of this status.")
@click.option("--open", is_flag=True, help="Only failures that nobody has acknowledged.")
@click.option("--run", "manager_id", type=JOB, metavar="JOB", help="Only those of this run.")
@click.option("--step", metavar="NAME", help="Only those of steps of this name.")
@click.option("--definition", metavar="ID", help="Only those of runs of this definition.")
@click.option("--tag", metavar="TAG", help="Only those of runs with this tag.")
@click.option("--name", "q", metavar="TEXT", help="Only those with this text in their name.")
@click.option("--token", metavar="TOKEN", help="Do it to the list that a preview has frozen.")
@click.option("--note", default="", help="Why; an acknowledgement shows it.")
@click.option("--yes", is_flag=True, help="Do it at once.")
@common_options
def bulk(action: str, token: str | None, note: str, yes: bool, as_json: bool, **options: Any) -> None:
    """Do ACTION to every job that the options choose.

    Their list is frozen, and what would be done with it is said. With --yes, or later with the --token of that preview,
    a run is started that does it. What comes after the preview is not touched, and what has changed is left alone.
    """
    chosen = {name: value for name in CHOSEN_BY if (value := options.pop(name))}
    if (token is not None) == bool(chosen):
        raise click.UsageError("Name the jobs, by --kind and other options, or the --token of a preview.")
    if token is None:
        preview, _ = carried_out(Call("POST", "/api/bulk", {}, body=chosen), options)
        token = str(preview["token"])
        if as_json and not yes:
            tell_json(preview)
        elif not as_json:
            click.echo("\n".join(map(plain, _words(preview, action))))
        if not yes:
            if not as_json:
                click.echo(f"Nothing was done. To do it: stepglass bulk {action} --token {token}")
            return
    path = f"/api/bulk/{token}/confirmation"
    carry_out(Call("POST", path, {}, begins=True, body={"action": action, "note": note}), as_json, options)


def _words(preview: Mapping[str, Any], action: str) -> Iterator[str]:
    for choice in preview["choices"]:
        if choice["action"] == action:
            yield f"{choice['acts']:,} of {preview['total']:,} {preview['jobs']}: {action}"
            yield from (f"{each['jobs']:,} are left alone: {each['reason']}" for each in choice["skipped"])
