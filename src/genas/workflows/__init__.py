"""One file per command: what the functions of `genas` and the command line both call."""
