"""The work: one module per bundled step type. They import the step type contract and libraries, nothing else."""
