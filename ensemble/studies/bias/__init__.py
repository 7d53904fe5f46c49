"""The bias ablation: `study` asks and measures, `figures` draws."""
