"""Rover Descent: a direction learned from teachers, step sizes and resolutions learned from rewards."""
