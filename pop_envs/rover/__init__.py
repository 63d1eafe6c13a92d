"""Rover Descent: learned steps on what a grid of function values shows."""
