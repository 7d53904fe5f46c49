"""The trainability study: `study` asks, `maps` trains a network a pixel, `trained` measures, `figures` draws."""
