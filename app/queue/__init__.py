"""What is true: status rules, tables, the one write path and the snapshots that pages are painted from."""
