"""The live stream: from a committed change to the pages that show it."""
