"""The six sets of BMAD, in its own folders."""
