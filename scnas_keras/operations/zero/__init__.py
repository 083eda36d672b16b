"""No edge."""
