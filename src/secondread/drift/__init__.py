"""Whether what comes in is still what was calibrated for: p-values without assumptions, evidence, alarms."""
