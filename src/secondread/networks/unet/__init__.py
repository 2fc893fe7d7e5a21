"""The U-Net that denoises, and its convolutions."""
