"""Files of a stranger, read without trust: sizes, depths and kinds are bounded before anything is built."""
