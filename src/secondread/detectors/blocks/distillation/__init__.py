"""What detectors of students and their teachers share."""
