"""From scans to the arrays that networks see, and from their output back to the scans."""
