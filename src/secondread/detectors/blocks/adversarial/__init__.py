"""What adversarial methods share: images drawn from a latent, and the signs of collapse."""
