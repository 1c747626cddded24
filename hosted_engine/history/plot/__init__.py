"""The history as a picture: a chart of shapes (pure), written as SVG."""
