"""Tables of papers, run again with the paper's presets and protocol, measured beside published figures."""
