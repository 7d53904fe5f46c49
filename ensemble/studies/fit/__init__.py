"""The fit study: `setup` asks, `study` measures, `figures` draws."""
