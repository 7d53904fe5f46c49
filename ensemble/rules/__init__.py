"""Rules: layers, losses and optimizers in plain NumPy, the definition that every compiled kernel is tested against."""
