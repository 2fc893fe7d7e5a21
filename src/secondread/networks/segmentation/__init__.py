"""Encoder-decoders without skips, which give a map on the image's grid."""
