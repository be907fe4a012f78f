"""The store verbs: the whole write surface of the queue.

start  plan  claim  finish  release  rescue  owners  cancel  retry  delete  retire  log  save documents  switch

Each is a function of an open `Transaction`, handed to the `Writer`. The guard is in the write: a statement moves a
job only
from a status that it may leave, and a work item only in the hands of its current attempt; a late worker changes
nothing. The orchestration is in the transaction too: whatever ends a work item also counts it, ends its step when
it was the last, releases or skips the steps that waited for that one, and ends the run (`roll_up`).
"""
