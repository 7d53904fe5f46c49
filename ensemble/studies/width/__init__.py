"""The width study: `setup` asks, `study` measures, `figures` draws."""
