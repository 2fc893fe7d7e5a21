"""Networks asked on the meta device, where nothing is computed."""
