"""The depth study: `study` asks and measures, `figures` draws."""
