"""POP, Prior-fitted Optimizer Policies (arXiv:2602.15473): ``POP-v0``."""
