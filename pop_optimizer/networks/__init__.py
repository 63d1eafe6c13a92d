"""The networks of the trained policies, without anything that trains them."""
