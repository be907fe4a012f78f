"""Where places come from: one module per provider, and what they have in common."""
