"""The test of the original's claims: `setup` trains, `study` decides, `figures` draws."""
