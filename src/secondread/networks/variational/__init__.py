"""Networks of variational autoencoders."""
