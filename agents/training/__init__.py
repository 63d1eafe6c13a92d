"""What goes on around a training: its configuration, progress, validation and saving."""
