"""Files of scans in and out: one interface whatever the format."""
