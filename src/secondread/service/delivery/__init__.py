"""Readings leave: as DICOM objects to archives, as messages to people and to other systems."""
