"""What a run knows: its trajectory, a trust-region descent along it, and a surrogate of the whole box."""
