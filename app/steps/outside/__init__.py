"""The way to the network for step types: what may be reached, how much is read, and what an answer means."""
