"""What are the biases of a two-layer ReLU network worth? Test error against width with each bias on and off."""

from ensemble.cli import script

if __name__ == "__main__":
    script("bias_ablation")
