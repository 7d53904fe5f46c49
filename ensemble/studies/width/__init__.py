"""The width study: `study` asks and measures, `figures` draws."""
