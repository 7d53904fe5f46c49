"""The bias ablation: `setup` asks, `study` measures, `figures` draws."""
