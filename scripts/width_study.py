"""How wide must a two-layer ReLU network be? Test error against width, at the learning rate that suits each width."""

from ensemble.cli import script

if __name__ == "__main__":
    script("width_study")
