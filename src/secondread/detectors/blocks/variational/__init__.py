"""What variational detectors share."""
