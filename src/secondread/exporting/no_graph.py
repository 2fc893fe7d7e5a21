"""That a computation cannot be written as a graph."""


class NoGraphError(Exception):
    """In words that complete "its score is no graph: it ..."."""
