"""Stepglass: a durable multi-step job queue with a live page.

The map of the rooms::

    queue/   WHAT IS TRUE   status rules, tables, the one writer, the store verbs, snapshots, the step monitor
    work/    WHAT RUNS      definitions, the step type contract, execution, the embedded runner
    steps/   THE WORK       one module per step type
    web/     WHAT IS SEEN   pages, fragments, actions, the JSON API, the live stream, security

Imports run one way, ``steps -> work -> queue <- web``; ``main`` and ``cli`` put the rooms together and nothing imports
them. ``web`` and ``work`` meet only in ``queue``. The test suite holds these rules.
"""

__version__ = "0.1.0"
