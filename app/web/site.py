"""The site: everything that people see, for the application to serve.

Its handlers want two dependencies: `access` (what to read, write and start) and `live` (the hub, running).
"""

from __future__ import annotations

from litestar.datastructures import CacheControlHeader
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from app.resources import static_dir
from app.web import (
    acknowledge_pages,
    actions,
    bulk_pages,
    definition_editor,
    definition_pages,
    delete_pages,
    downloads,
    fragments,
    pages,
    pause_pages,
    priority_pages,
    rerun_pages,
    retry_pages,
    schedule_actions,
    streams,
    system_pages,
)
from app.web.stylesheet import stylesheet

_A_DAY = CacheControlHeader(public=True, max_age=86_400)


def handlers() -> list[ControllerRouterHandler]:
    """Pages, streams, fragments, actions, the style sheet and the static files."""
    return [
        pages.home,
        pages.queue_page,
        pages.jobs_page,
        pages.documents_page,
        pages.document_page,
        definition_pages.definitions_page,
        definition_pages.definition_page,
        streams.definitions_stream,
        streams.definition_stream,
        definition_pages.switch_definition,
        definition_editor.new_definition,
        definition_editor.edit_definition,
        definition_editor.create_definition,
        definition_editor.save_definition,
        definition_editor.delete_definition,
        pages.job_page,
        pages.run_log_page,
        pages.step_page,
        streams.queue_stream,
        streams.jobs_stream,
        streams.documents_stream,
        streams.document_stream,
        streams.job_stream,
        streams.run_log_stream,
        streams.step_stream,
        fragments.statistics_fragment,
        fragments.throughput_fragment,
        fragments.timeline_fragment,
        fragments.job_fragment,
        fragments.job_head_fragment,
        fragments.step_fragment,
        fragments.log_fragment,
        fragments.documents_fragment,
        fragments.document_fragment,
        downloads.job_log,
        downloads.step_log,
        actions.start_run,
        actions.cancel_run,
        schedule_actions.pause,
        schedule_actions.resume,
        system_pages.system_page,
        system_pages.system_stream,
        retry_pages.retry_preview,
        retry_pages.retry_chosen,
        rerun_pages.rerun_form,
        rerun_pages.rerun_chosen,
        acknowledge_pages.acknowledgement_form,
        acknowledge_pages.acknowledge_chosen,
        acknowledge_pages.reopen_chosen,
        bulk_pages.freeze_list,
        bulk_pages.bulk_preview,
        bulk_pages.bulk_chosen,
        bulk_pages.bulk_of_run,
        delete_pages.delete_preview,
        delete_pages.delete_chosen,
        priority_pages.set_priority,
        pause_pages.pauses_page,
        pause_pages.pause_something,
        pause_pages.resume_something,
        pause_pages.pause_run,
        pause_pages.resume_run,
        stylesheet,
        create_static_files_router("/static", [static_dir()], cache_control=_A_DAY, include_in_schema=False),
    ]
