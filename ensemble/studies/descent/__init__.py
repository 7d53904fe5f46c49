"""The double-descent study: `study` asks, `arms` measures, `figures` draws."""
