"""What Learning to Optimize claims, measured."""
