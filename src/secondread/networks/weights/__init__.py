"""Public weights of encoders: where they come from, where they lie, and how they fill a network."""
