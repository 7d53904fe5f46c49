"""How does the fit come about? One width and learning rate, the fitted curve at a few epochs, and a table of MSEs."""

from ensemble.cli import script

if __name__ == "__main__":
    script("fit_target")
