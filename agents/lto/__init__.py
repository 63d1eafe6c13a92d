"""Learning to Optimize: guided policy search and what it is compared with."""
