"""Invertible layers in 2-D and 3-D, and the latent distributions behind them."""
