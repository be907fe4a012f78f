"""`python -m app.cli` is `stepglass`."""

from app.cli import main

main()
