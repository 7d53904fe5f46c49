"""The fit study: `study` asks and measures, `figures` draws."""
