"""The test of the original's claims: `study` asks and measures, `figures` draws."""
