"""The retina: OCT and fundus photographs."""
