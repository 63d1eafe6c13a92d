"""Learning to Optimize: step vectors for the losses of machine learning."""
