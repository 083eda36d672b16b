"""From a fingerprint of the scans to a plan: spacing, normalisation, patch, batch and topology, by the rules of nnU-Net."""
