"""What runs: definitions, the step type contract, and the runner that carries them out."""
