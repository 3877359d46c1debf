"""Charts of what was measured, drawn by matplotlib into PNG and SVG files."""
