"""From a folder of NIfTI files to training patches, and from predictions back to NIfTI files."""
