"""The transfer study: `study` asks and measures, `figures` draws."""
