"""What the manifests of a code base say: one reader for each kind. They read text, and never run what they read."""
