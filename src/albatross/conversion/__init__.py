"""From one kind of checkpoint to another, and from one structure to another, with a report."""
