"""The transfer study: `setup` asks, `study` measures, `figures` draws."""
