"""Networks that learn to give the maps of a frozen encoder, and how their maps are compared with it."""
