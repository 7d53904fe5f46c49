"""At which learning rates of its two layers does a network train? A map, a network a pixel, and its boundary."""

from ensemble.cli import script

if __name__ == "__main__":
    script("trainability")
