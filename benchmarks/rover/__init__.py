"""What Rover Descent's claims come to, one command each: ``python -m benchmarks.rover.angles`` and so on."""
